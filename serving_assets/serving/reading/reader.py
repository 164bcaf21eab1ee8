"""Reads of an online store that never block other requests.

Here: the asynchronous interface, and threads for a store that has only a synchronous one. Not here: what is done with
the answers (collection.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from serving_assets.errors import ServingAssetsError
from serving_assets.store import MONGODB, Control, Entity, OnlineStore, Reading, open_store, read

SELECTION_SECONDS = 1.0
"""How long one attempt looks for a MongoDB server: short, for the next look is the one that finds it back."""

READS = 4
"""Reads of one collection at a time. What is asked meanwhile is read together, in the next one."""


class Reader(Protocol):
    """A store that can be read while other requests go on. Both reads raise ServingAssetsError when it is unable."""

    async def control(self, collection: str) -> Control | None:
        """See OnlineStore.control."""

    async def read(self, collection: str, entities: Sequence[Entity]) -> Reading:
        """See store/read.py."""

    async def close(self) -> None:
        """Release what is held open."""


class ThreadReader:
    """A Reader over a synchronous store. The control record has a thread of its own, so slow reads do not hide it."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._reads = ThreadPoolExecutor(READS, thread_name_prefix="store-read")
        self._watch = ThreadPoolExecutor(1, thread_name_prefix="store-watch")

    async def control(self, collection: str) -> Control | None:
        """The control record, read in the watching thread."""
        return await asyncio.get_running_loop().run_in_executor(self._watch, self._control, collection)

    def _control(self, collection: str) -> Control | None:
        try:
            return self._store.control(collection)
        except ServingAssetsError:
            self._store.close()  # a database file that was replaced is opened again
            raise

    async def read(self, collection: str, entities: Sequence[Entity]) -> Reading:
        """One read, in one of the reading threads."""
        return await asyncio.get_running_loop().run_in_executor(self._reads, read, self._store, collection, entities)

    async def close(self) -> None:
        """Close the store; a read that hangs is left behind."""
        for pool in (self._reads, self._watch):
            pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()


def open_reader(uri: str, mongodb: Mapping[str, Any] | None = None) -> Reader:
    """A reader of the store at `uri`; `mongodb` are the further options of a MongoDB.

    Raises:
        InputError: no store is known for `uri`.
    """
    if uri.startswith(MONGODB):
        from serving_assets.store.mongo_async import AsyncMongoReader

        return AsyncMongoReader(uri, **{**(mongodb or {}), "timeout_seconds": SELECTION_SECONDS})
    return ThreadReader(open_store(uri))
