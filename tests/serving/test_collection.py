"""A collection as one process sees it, over a store that can be made slow, dead, older, or empty.

The store here is scripted, because what it does must happen at an exact moment; test_reload.py has the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from serving_assets.serving.reading import collection as module
from serving_assets.serving.reading.collection import FollowedCollection, Unavailable
from serving_assets.store import Control, Entity, Found, Generation, Reading, StoreError


class Script:
    """A store whose every read answers at once from `control`, fails with `fault`, or waits for `gate`."""

    def __init__(self) -> None:
        self.control_record: Control | None = generation(1)
        self.absent: set[Entity] = set()
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reads: list[list[Entity]] = []

    async def control(self, collection: str) -> Control | None:
        await self._ready()
        return self.control_record

    async def read(self, collection: str, entities: Sequence[Entity]) -> Reading:
        self.reads.append(list(entities))
        control = self.control_record
        await self._ready()
        published = control.published if control else None
        if published is None:
            return Reading(control, [None] * len(entities))
        values = [None if e in self.absent else Found(e, {}, published.as_of, "1", published.number) for e in entities]
        return Reading(control, values)

    async def close(self) -> None:
        """Nothing is open."""

    async def _ready(self) -> None:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault


def generation(number: int, revision: int | None = None, published_at: str = "2026-01-01T00:00:00+00:00") -> Control:
    """A control record that calls `number` active."""
    published = Generation(number, "2026-01-01T00:00:00+00:00", "1", 1, 1, 1, "run", "writer", published_at)
    return Control(revision=number if revision is None else revision, taken=number, published=published)


def run(
    script: Callable[[Script, FollowedCollection[int]], Coroutine[Any, Any, None]],
    cache_bytes: int = 1 << 20,
    seconds: float = 30.0,
) -> None:
    """Run a test against a fresh script whose collection keeps the number of the generation a value was read from."""

    async def main() -> None:
        store = Script()
        events: list[str] = []

        def happened(event: str, number: int) -> None:
            events.extend([event] * number)

        found: FollowedCollection[int] = FollowedCollection(
            "c", store, lambda f: (f.generation, 100), cache_bytes=cache_bytes, seconds=seconds, event=happened
        )
        watch = asyncio.create_task(found.watch())
        while found.version is None:
            await asyncio.sleep(0.001)
        await script(store, found)
        watch.cancel()

    asyncio.run(main())


async def until(question: Callable[[], bool]) -> None:
    """Wait until the answer is yes, for as long as a busy machine may need."""
    async with asyncio.timeout(30):
        while not question():
            await asyncio.sleep(0.005)


def follows(collection: FollowedCollection[int], number: int, published_at: str = "") -> bool:
    """Whether the collection has taken over a generation."""
    version = collection.version
    return version is not None and version.number == number and published_at in version.published_at


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "LAG_SECONDS", 60.0)


def test_a_burst_for_one_id_reads_the_store_once() -> None:
    """However many ask for an id at once, the store is read once; who asks later is answered from memory."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        found = await asyncio.gather(*(collection.get(7) for _ in range(500)))
        assert store.reads == [[7]]
        assert {entry.content for entry, _ in found} == {1}
        await collection.get(7)
        assert len(store.reads) == 1

    run(script)


def test_many_ids_share_reads() -> None:
    """Ids that are asked for while reads are under way are read together."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        await asyncio.gather(*(collection.get(id) for id in range(500)))
        assert len(store.reads) <= 6
        assert sorted(id for read in store.reads for id in read) == list(range(500))

    run(script)


def test_one_round_trip_for_what_is_missing_of_many() -> None:
    """A batch reads only what is not at hand, in one read, and nothing when all is."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        await collection.get_many([1, 2])
        await collection.get_many([2, 3, 1, 4, 3])
        assert store.reads == [[1, 2], [3, 4]]
        await collection.get_many([4, 1])
        assert len(store.reads) == 2

    run(script)


def test_a_batch_across_a_publish_is_read_again() -> None:
    """When the missing ids turn out to be of a newer generation than those at hand, all are read again."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        await collection.get_many([1, 2])
        store.control_record = generation(2)
        batch = await collection.get_many([1, 2, 3])
        assert {entry.content for entry in batch.entries} == {batch.version.number}

    run(script)


def test_a_late_read_does_not_bring_an_older_generation_back() -> None:
    """A read that began before a publish and ends after it was seen is asked again, and not kept."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        store.gate.clear()
        slow = asyncio.create_task(collection.get(7))
        await asyncio.sleep(0.02)
        store.control_record = generation(2)
        store.gate.set()
        entry, stale = await slow
        assert (entry.content, stale) in {(2, False), (1, False)}
        assert (await collection.get(7))[0].content == collection.version.number if collection.version else False

    run(script)


def test_a_store_emptied_and_filled_anew_is_followed() -> None:
    """Revisions that begin again at one are newer when they are seen later, even for a generation of equal number."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        store.control_record = generation(5)
        await until(lambda: follows(collection, 5))
        await collection.get(7)
        store.control_record = generation(5, 1, "2026-02-02T00:00:00+00:00")
        await until(lambda: follows(collection, 5, "2026-02-02"))
        reads = len(store.reads)
        entry, _ = await collection.get(7)
        assert entry.version.published_at == "2026-02-02T00:00:00+00:00"
        assert len(store.reads) == reads + 1

    run(script)


@pytest.mark.parametrize("how", ["fails", "hangs", "is empty"])
def test_without_the_store_what_is_held_is_stale_and_the_rest_refused(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails, hangs or has lost everything costs only what is not in memory, and no longer than a read."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        store.absent = {8}
        await collection.get_many([7, 8])
        if how == "fails":
            store.fault = StoreError("gone")
        elif how == "hangs":
            store.gate.clear()
        else:
            store.control_record = None
        monkeypatch.setattr(module, "LAG_SECONDS", 0.0)
        collection._fresh_until = 0.0
        await until(lambda: collection.down is not None)
        assert [(await collection.get(id))[1] for id in (7, 8)] == [True, True]
        assert (await collection.get_many([8, 7])).stale
        with pytest.raises(Unavailable):
            await collection.get(9)
        with pytest.raises(Unavailable):
            await collection.get_many([7, 9])
        reads = len(store.reads)
        for _ in range(100):
            with pytest.raises(Unavailable):
                await collection.get(9)
        assert len(store.reads) == reads
        store.fault, store.control_record = None, generation(1)
        collection._seconds = 30.0
        store.gate.set()
        await until(lambda: collection.down is None)
        assert not (await collection.get(9))[1]

    run(script, seconds=0.2 if how == "hangs" else 30.0)


def test_a_bug_in_a_read_reaches_everybody_who_waits() -> None:
    """An error that is no store's fault ends the waiting of all, and the next question is asked anew."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        store.fault = ZeroDivisionError()
        waiting = [asyncio.create_task(collection._fetch(id)) for id in (1, 1, 2)]
        for task in waiting:
            with pytest.raises(ZeroDivisionError):
                await task
        store.fault = None
        assert (await collection._fetch(1)).content == 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "POLL_SECONDS", 60)
        run(script)


def test_memory_is_bounded_and_guessing_ids_pushes_nobody_out() -> None:
    """The cache keeps to its bytes; any number of unknown ids leaves the known ones where they are."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        await collection.get_many(list(range(10)))
        store.absent = set(range(1000, 6000))
        for start in range(1000, 6000, 500):
            await collection.get_many(list(range(start, start + 500)))
        assert collection.cached_bytes <= 100_000
        reads = len(store.reads)
        await collection.get_many(list(range(10)))
        assert len(store.reads) == reads
        await collection.get_many(list(range(10_000, 10_900)))
        assert collection.cached_bytes <= 100_000

    run(script, cache_bytes=100_000)


def test_an_entity_that_comes_and_goes_is_found_where_it_is() -> None:
    """An id that had a document and has none, and the other way round, is known by its newest state alone."""

    async def script(store: Script, collection: FollowedCollection[int]) -> None:
        for number, absent in ((2, True), (3, False), (4, True)):
            assert await collection.get(7)
            store.control_record = replace(generation(number))
            store.absent = {7} if absent else set()
            await until(partial(follows, collection, number))
            entry, _ = await collection.get(7)
            assert entry.content == (None if absent else number)
            reads = len(store.reads)
            await collection.get(7)
            assert len(store.reads) == reads

    run(script)
