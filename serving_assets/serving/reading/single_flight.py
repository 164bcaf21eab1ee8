"""One read for all requests that need it at the same time.

Here: sharing a read by its key, and batching. Not here: what is read (collection.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Requests for the same key share its read; keys requested while enough reads run share the next one.

    Args:
        read: of up to `most` keys at once; returns a value for every one.
        parallel: reads at a time.
        most: keys in one read.
    """

    def __init__(self, read: Callable[[list[K]], Awaitable[Mapping[K, V]]], *, parallel: int, most: int) -> None:
        self._read, self._parallel, self._most = read, parallel, most
        self._asked: dict[K, asyncio.Future[V]] = {}
        self._queue: deque[K] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def asked(self, key: K) -> bool:
        """Whether a read of `key` is awaited already."""
        return key in self._asked

    async def get(self, key: K) -> V:
        """The value of `key`, or the error of its read. A waiter that is cancelled does not cancel the others."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_look_at)
            self._queue.append(key)
            if len(self._tasks) < self._parallel:
                task = asyncio.create_task(self._run())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(future)

    async def _run(self) -> None:
        while self._queue:
            keys = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            try:
                found = await self._read(keys)
                for key in keys:
                    self._asked.pop(key).set_result(found[key])
            except Exception as error:  # noqa: BLE001  whatever it is, the waiters must get it
                for key in keys:
                    if (future := self._asked.pop(key, None)) is not None:
                        future.set_exception(error)


def _look_at(future: asyncio.Future[V]) -> None:
    """Keep asyncio from reporting an error whose waiters were all cancelled."""
    if not future.cancelled():
        future.exception()
