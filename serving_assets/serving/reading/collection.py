"""One published collection as this process knows it, and how it reads what it does not know.

Here: following the active generation, the cache, and what happens when the store is down. Not here: sharing reads
(single_flight.py), what an answer looks like (serving/lookup.py, serving/scoring.py).

An answer is never mixed of two generations, never goes back to an older one that this process has left, and lags a
publish or a rollback by a second at most, or is marked as stale.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from serving_assets.errors import ServingAssetsError
from serving_assets.serving.reading.cache import Cache, Entry, Version
from serving_assets.serving.reading.reader import READS, Reader
from serving_assets.serving.reading.single_flight import SingleFlight
from serving_assets.store import Control, Entity, Found

T = TypeVar("T")

POLL_SECONDS = 0.25
LAG_SECONDS = 1.0
"""How long after the last read of the control record began a cached answer still counts as fresh."""
IDS_PER_READ = 1_000
_AGAIN_SECONDS = 0.02
UNREADABLE = "The store cannot be read: it is out of reach or damaged."
NOTHING = "Nothing has been published yet."


class Unavailable(Exception):
    """Neither the store nor the cache has what was asked for; the argument is the reason, for a client."""


def lost(generation: int) -> str:
    """What is reported of a store that no longer has what was published."""
    return f"The store has lost generation {generation}; its owners bring it back with serving-assets restore."


async def _nothing_remembered() -> int | None:
    return None


class Batch(NamedTuple, Generic[T]):
    """The entries of several ids, all of one version, in the order of the question."""

    version: Version
    entries: list[Entry[T]]
    stale: bool


class FollowedCollection(Generic[T]):
    """One collection as this process sees it. `version` is the newest generation seen, `down` why it is out of reach.

    Args:
        name: of the collection.
        reader: of the store that holds it.
        keep: from a found document to what is kept of it, and that content's size in bytes.
        cache_bytes: bound of the cache; an eighth of it is for ids that have no document.
        seconds: after which a read counts as failed.
        event: called with the name and the number of hits, misses, coalesced reads, stale and unavailable answers,
            flips, and losses of the store.
        remembered: the newest generation that the lake remembers, asked while the store knows of none.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        keep: Callable[[Found], tuple[T, int]],
        *,
        cache_bytes: int,
        seconds: float,
        event: Callable[[str, int], None] = lambda _, __: None,
        remembered: Callable[[], Awaitable[int | None]] = _nothing_remembered,
    ) -> None:
        self.name = name
        self.version: Version | None = None
        self.down: str | None = "The store has not been read yet."
        self._reader, self._keep, self._seconds, self._event = reader, keep, seconds, event
        self._present: Cache[T] = Cache(cache_bytes - cache_bytes // 8)
        self._absent: Cache[T] = Cache(cache_bytes // 8)  # of its own, so that guessed ids displace no document
        self._reads: SingleFlight[Entity, Entry[T]] = SingleFlight(self._read, parallel=READS, most=IDS_PER_READ)
        self._fresh_until = 0.0
        self._revision, self._adopted_at = -1, 0.0
        self._activated_at = ""
        self._remembered, self._why_nothing = remembered, NOTHING

    @property
    def stale(self) -> bool:
        """Whether a publish may have happened that this process has not seen within its second."""
        return time.monotonic() >= self._fresh_until

    @property
    def cached_bytes(self) -> int:
        """What the cache holds, by its own estimate."""
        return self._present.bytes + self._absent.bytes

    def cached(self, entity: Entity) -> Entry[T] | None:
        """The entry of `entity` if it is at hand and fresh: the way that needs no waiting."""
        entry = self._present.get(entity) or self._absent.get(entity)
        if entry is None or entry.version is not self.version or self.stale:
            return None
        self._event("hit", 1)
        return entry

    async def get(self, entity: Entity) -> tuple[Entry[T], bool]:
        """The entry of `entity`, and whether it is stale.

        Raises:
            Unavailable: it is neither in reach nor in the cache.
        """
        if (entry := self.cached(entity)) is not None:
            return entry, False
        why = self.down
        if why is None:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._fetch(entity), False
            except (ServingAssetsError, Unavailable, TimeoutError) as error:
                why = _reason(error)
        return self._held(entity, why), True

    async def get_many(self, entities: Sequence[Entity]) -> Batch[T]:
        """The entries of `entities`, in one round trip to the store, or in none.

        Raises:
            Unavailable: at least one is neither in reach nor in the cache, or the cache has them of two generations.
        """
        ids = list(dict.fromkeys(entities))
        found = self._all_cached(ids)
        why = self.down if len(found) < len(ids) else None
        if why is None:
            try:
                async with asyncio.timeout(self._seconds):
                    found = await self._complete(ids, found)
                entries = [found[entity] for entity in entities]
                return Batch(entries[0].version, entries, stale=False)
            except (ServingAssetsError, Unavailable, TimeoutError) as error:
                why = _reason(error)
        entries = [self._held(entity, why) for entity in entities]
        if len({entry.version for entry in entries}) > 1:
            raise Unavailable(why)
        return Batch(entries[0].version, entries, stale=True)

    async def watch(self) -> None:
        """Read the control record four times a second, for ever; a read that hangs is waited for, not repeated."""
        while True:
            began = time.monotonic()
            look = asyncio.ensure_future(self._reader.control(self.name))
            while not (await asyncio.wait({look}, timeout=self._seconds))[0]:
                self._lost("The store does not answer.")
            try:
                control = look.result()
                if self.version is None and (control is None or control.published is None):
                    generation = await self._remembered()
                    self._why_nothing = NOTHING if generation is None else lost(generation)
                self._adopt(control, began)
            except (ServingAssetsError, Unavailable) as error:
                self._lost(_reason(error))
            await asyncio.sleep(POLL_SECONDS)

    def _all_cached(self, ids: list[Entity]) -> dict[Entity, Entry[T]]:
        """The entries of those of `ids` that are at hand and fresh."""
        if self.stale:
            return {}
        here, gone, version = self._present.get, self._absent.get, self.version
        entries = ((entity, here(entity) or gone(entity)) for entity in ids)
        found = {entity: entry for entity, entry in entries if entry is not None and entry.version is version}
        if found:
            self._event("hit", len(found))
        return found

    async def _fetch(self, entity: Entity) -> Entry[T]:
        while True:
            self._event("coalesced" if self._reads.asked(entity) else "miss", 1)
            entry = await self._reads.get(entity)
            if entry.version is self.version:
                return entry
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _complete(self, ids: list[Entity], found: dict[Entity, Entry[T]]) -> dict[Entity, Entry[T]]:
        """`found` and what it lacks of `ids`; all read again where a publish came in between."""
        missing = [entity for entity in ids if entity not in found]
        if missing:
            self._event("miss", 1)
            found = found | await self._read(missing)
        while any(entry.version is not self.version for entry in found.values()):
            found = await self._read(ids)
            await asyncio.sleep(0 if found[ids[0]].version is self.version else _AGAIN_SECONDS)
        return found

    async def _read(self, entities: list[Entity]) -> dict[Entity, Entry[T]]:
        """One read of the store; the active generation that it finds is adopted too."""
        began = time.monotonic()
        reading = await self._reader.read(self.name, entities)
        version = self._adopt(reading.control, began)
        entries: dict[Entity, Entry[T]] = {}
        instants: dict[str, float] = {}  # nearly all documents of a generation speak of one instant
        nothing: Entry[T] = Entry(version, None, 0.0, 0)
        for entity, value in zip(entities, reading.values, strict=True):
            if value is None:
                entries[entity] = nothing
                continue
            at = instants.get(value.as_of)
            if at is None:
                at = instants[value.as_of] = datetime.fromisoformat(value.as_of).timestamp()
            content, size = self._keep(value)
            entries[entity] = Entry(version, content, at, size)
        if version is self.version:
            for entity, entry in entries.items():
                self._keep_entry(entity, entry)
        return entries

    def _keep_entry(self, entity: Entity, entry: Entry[T]) -> None:
        here, there = (self._absent, self._present) if entry.content is None else (self._present, self._absent)
        there.drop(entity)
        here.put(entity, entry)

    def _adopt(self, control: Control | None, began: float) -> Version:
        """The version `control` calls active, which becomes this process's unless that has seen a later record.

        Revisions only rise, so a lower one is an old look; but when the look began after the last one was taken over,
        the store was emptied meanwhile, and counts anew: from a later activation, for an earlier one is that of a copy
        from before.

        Raises:
            Unavailable: there is none, or the store has lost what this process has seen.
        """
        published = control.published if control else None
        if control is None or published is None:
            raise Unavailable(self._why_nothing if self.version is None else lost(self.version.number))
        found = Version(published.number, published.published_at, published.as_of, published.model_version)
        version = self.version if found == self.version and self.version is not None else found
        if control.revision < self._revision and began <= self._adopted_at:
            return version
        activated_at = control.activations[-1].at if control.activations else published.published_at
        if self.version is not None and activated_at < self._activated_at and began > self._adopted_at:
            raise Unavailable(lost(self.version.number))
        if version is not self.version:
            self.version = version
            self._event("flip", 1)
        self._revision, self._adopted_at, self._activated_at = control.revision, time.monotonic(), activated_at
        self._fresh_until = max(self._fresh_until, began + LAG_SECONDS)
        self.down = None
        return version

    def _lost(self, why: str) -> None:
        if self.down is None:
            self._event("lost", 1)
        self.down = why

    def _held(self, entity: Entity, why: str) -> Entry[T]:
        entry = self._present.get(entity) or self._absent.get(entity)
        if entry is None:
            self._event("unavailable", 1)
            raise Unavailable(why)
        self._event("stale", 1)
        return entry


def _reason(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return str(error)
    return "The store did not answer in time." if isinstance(error, TimeoutError) else UNREADABLE
