"""What the lake remembers of a collection that the store knows nothing of.

Here: telling a store that has lost what was published from one in which nothing was published yet. Not here: the log
itself and its writers (pipeline/publishing/activation_log.py), following the store (collection.py).
"""

from __future__ import annotations

import asyncio
import time

LOOK_SECONDS = 30.0
"""How long an answer of the lake counts: the store is asked four times a second."""


class LakeMemory:
    """The activation log of one collection, read only while the store knows nothing.

    Args:
        uri: of the lake.
        table: of the log.
    """

    def __init__(self, uri: str, table: str) -> None:
        self._uri, self._table = uri, table
        self._known: int | None = None
        self._until = 0.0

    async def newest(self) -> int | None:
        """The generation that was activated last; None when none was, or the lake is out of reach."""
        if time.monotonic() >= self._until:
            self._known = await asyncio.to_thread(self._read)
            self._until = time.monotonic() + LOOK_SECONDS
        return self._known

    def _read(self) -> int | None:
        from serving_assets.lake import Lake

        try:
            table = Lake(self._uri).table(self._table)
            if not table.exists():
                return None
            log = table.scan().dataset().to_table(["generation", "activated_at"]).sort_by("activated_at")
        except Exception:  # noqa: BLE001  each object store fails in its own way, and the API needs none of them to serve
            return None
        generation: int | None = log["generation"][-1].as_py() if log.num_rows else None
        return generation
