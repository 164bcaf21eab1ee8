"""The model that scores on the fly: loaded, proven, and replaced while requests go on.

Here: following the champion's pointer. Not here: the pointer and the bundle (models/), the features
(serving/reading/features.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_assets.models.bundle import load_bundle
from serving_assets.models.lifecycle.champion import POINTER, champion_version
from serving_assets.models.scorer import Scorer
from serving_assets.models.signature import Value
from serving_assets.serving.reading.collection import Unavailable

LOOK_SECONDS = 0.5
RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory that has given its sample's scores."""

    scorer: Scorer
    version: str
    compiled: bool

    async def score(self, row: Sequence[Value]) -> Sequence[float]:
        """The scores of one row, one for each output. A compiled model takes microseconds; any other gets a thread.

        Raises:
            InputError: when a feature is missing although the model requires it.
        """
        if self.compiled:
            scores = self.scorer.score_rows([row])
        else:
            scores = await asyncio.to_thread(self.scorer.score_rows, [row])
        found: list[float] = scores[0].tolist()
        return found


class LiveModel:
    """The champion of `name`. The old one serves until the new one is loaded and proven.

    Args:
        name: of the model, which is a use case's.
        bundles_dir: where bundles and pointers are.
        on_event: called with the name of an event and its members, for the log.
    """

    def __init__(self, name: str, bundles_dir: Path, on_event: Callable[..., None]) -> None:
        self.name = name
        self.current: LoadedModel | None = None
        self.fault: str | None = "The model has not been loaded yet."
        self._bundles_dir, self._on_event = bundles_dir, on_event
        self._seen: tuple[int, int] | None = None

    def loaded(self) -> LoadedModel:
        """The model at hand.

        Raises:
            Unavailable: there is none yet.
        """
        if self.current is None:
            raise Unavailable(self.fault or "The model is not loaded.")
        return self.current

    async def watch(self) -> None:
        """Check the pointer twice a second, for ever; what cannot be loaded is tried again after ten seconds."""
        while True:
            await asyncio.sleep(LOOK_SECONDS if await self.look() else RETRY_SECONDS)

    async def look(self) -> bool:
        """Load the champion if it has changed; return whether the newest one is loaded."""
        try:
            found = (self._bundles_dir / self.name / POINTER).stat()
        except FileNotFoundError:
            self.fault = "The model has no champion yet."
            return True
        mark = (found.st_mtime_ns, found.st_ino)
        if mark == self._seen:
            return True
        try:
            loaded = await asyncio.to_thread(self._load)
        except Exception as error:  # noqa: BLE001  each library refuses a file in its own way, and the old model serves
            self.fault = "The champion's bundle cannot be loaded."
            self._on_event("model_not_loaded", model=self.name, error=f"{type(error).__name__}: {error}")
            return False
        self.current, self.fault, self._seen = loaded, None, mark
        self._on_event("model_loaded", model=self.name, version=loaded.version)
        return True

    def _load(self) -> LoadedModel:
        version = champion_version(self._bundles_dir, self.name)
        bundle = load_bundle(self._bundles_dir / self.name / str(version))
        scorer = bundle.scorer()
        bundle.prove(scorer)
        return LoadedModel(scorer, bundle.version, bundle.form == "onnx")
