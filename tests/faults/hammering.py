"""Processes that hammer a store: readers that never rest, writers that are killed, and what each of them saw.

Here: what runs in the processes, and what they report. Not here: who is killed when, or what must hold of the reports
(test_hammering.py).

Every value is the number of the version that it was published from, and the version decides which entities exist: so
one answer suffices to see a mix of generations, or a missing entity.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from serving_assets.errors import ConflictError
from serving_assets.failpoints import VARIABLE
from serving_assets.serving.reading.collection import LAG_SECONDS, FollowedCollection
from serving_assets.serving.reading.reader import open_reader
from serving_assets.store import Found, OnlineStore, PinnedError, open_store, read
from tests.store.children import C, day, held, publish_version

IDS = range(1_200)
ASKED = range(1_300)
"""Some of those asked for never exist."""
BATCH = 1_000
SINGLES_PER_BATCH = 40
PATIENCE = 120.0
PRELOADED = ["tests.faults.hammering", "pymongo", "sqlite3"]
CONTEXT = get_context("forkserver")


# What readers report


@dataclass
class Report:
    """What one reader saw.

    Attributes:
        singles, batches: reads of one id, and of BATCH ids.
        disturbed: those among them during which a publish was under way or lay half done.
        lag: for how many seconds after a flip its answers may still be of the generation before.
        seen: in the order they were seen, each generation and the moment at which the last read that saw it began.
        wrong: answers that no generation gives.
    """

    lag: float = 0.0
    singles: int = 0
    batches: int = 0
    disturbed: int = 0
    seen: list[tuple[int, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, began: float, generation: int, as_of: str, found: Mapping[int, Any]) -> None:
        """One answer: the generation it claims to be of, and the value of each id asked for, None where there is none.

        Args:
            began: when the read began, on the machine's monotonic clock.
        """
        version = (datetime.fromisoformat(as_of) - datetime.fromisoformat(day(0))).days
        expected = {entity: version if entity in IDS and held(version, entity) else None for entity in found}
        if found != expected:
            values = sorted({value for value in found.values() if value is not None})
            missing = sum(found[entity] is None and expected[entity] is not None for entity in found)
            self.wrong.append(f"generation {generation} of version {version}: values {values}, {missing} missing")
        if len(found) == 1:
            self.singles += 1
        else:
            self.batches += 1
        if self.seen and self.seen[-1][0] == generation:
            self.seen.pop()
        self.seen.append((generation, began))


class Board:
    """Memory that all processes share without a lock, which a killed process could hold: a flag, and each one's reads.

    What is counted are a reader's rounds: SINGLES_PER_BATCH single reads and a batch.
    """

    def __init__(self, readers: int) -> None:
        self._numbers = CONTEXT.RawArray("q", readers + 1)

    @property
    def stopped(self) -> bool:
        """Whether the readers are to end."""
        return bool(self._numbers[0])

    def stop(self) -> None:
        """Let the readers end."""
        self._numbers[0] = 1

    def count(self, reader: int) -> None:
        """One more round of this reader."""
        self._numbers[reader + 1] += 1

    def rounds(self, readers: int) -> int:
        """How many rounds the first `readers` have made so far."""
        return sum(self._numbers[1 : readers + 1])


def read_the_store(uri: str, board: Board, reader: int, outbox: Any) -> None:
    """Read single ids and batches, with nothing between this process and the store."""
    report, order = Report(), _order(reader)
    with open_store(uri) as store:
        while not board.stopped:
            for ids in _questions(order):
                began = time.monotonic()
                reading = read(store, C, ids)
                assert reading.control
                published = reading.control.published
                assert published
                values = zip(ids, (value and value.value["score"] for value in reading.values), strict=True)
                report.note(began, published.number, published.as_of, dict(values))
                report.disturbed += not reading.control.clean
            order = order[SINGLES_PER_BATCH:] + order[:SINGLES_PER_BATCH]
            board.count(reader)
    outbox.send(report)


def read_as_the_api(uri: str, board: Board, reader: int, outbox: Any) -> None:
    """Read the same ids again and again through the API's cache, which asks the store in its own, asynchronous way."""
    outbox.send(asyncio.run(_read_as_the_api(uri, board, reader)))


async def _read_as_the_api(uri: str, board: Board, reader: int) -> Report:
    def keep(found: Found) -> tuple[int, int]:
        return found.value["score"], 8

    report, order, store = Report(lag=LAG_SECONDS), _order(reader), open_reader(uri)
    collection = FollowedCollection(C, store, keep, cache_bytes=1 << 20, seconds=PATIENCE)
    watching = asyncio.create_task(collection.watch())
    while collection.version is None:
        await asyncio.sleep(0.01)
    while not board.stopped:
        for ids in _questions(order):
            began = time.monotonic()
            if len(ids) == 1:
                entry, stale = await collection.get(ids[0])
                version, entries = entry.version, [entry]
            else:
                version, entries, stale = await collection.get_many(ids)
            assert not stale, "the store was there all the time"
            found = {entity: entry.content for entity, entry in zip(ids, entries, strict=True)}
            report.note(began, version.number, version.as_of, found)
            await asyncio.sleep(0.002)  # what comes out of a cache would otherwise take the time of those who ask
        board.count(reader)
    watching.cancel()
    await store.close()
    return report


def _order(reader: int) -> list[int]:
    order = list(ASKED)
    random.Random(reader).shuffle(order)
    return order


def _questions(order: list[int]) -> Iterator[list[int]]:
    """One round: single ids, then a batch."""
    yield from ([entity] for entity in order[:SINGLES_PER_BATCH])
    yield order[SINGLES_PER_BATCH : SINGLES_PER_BATCH + BATCH]


# What writers do


@dataclass(frozen=True)
class Diary:
    """What was acknowledged to whom, in a file to which any number of processes add lines, killed or not."""

    path: Path

    def note(self, store: OnlineStore) -> None:
        """All that the control record says was activated, as of now."""
        control = store.control(C)
        assert control
        now = time.monotonic()
        lines = [f"{entry.at} {now} {entry.generation.number} {entry.kind}\n" for entry in control.activations]
        with self.path.open("a") as file:
            file.write("".join(lines))

    def activations(self) -> list[tuple[float, int, str]]:
        """Each activation in its order: when it was first known to be acknowledged, the generation, the kind."""
        first: dict[str, tuple[float, int, str]] = {}
        for line in self.path.read_text().splitlines():
            at, known, number, kind = line.split()
            entry = (float(known), int(number), kind)
            first[at] = min(entry, first.get(at, entry))
        return [first[at] for at in sorted(first)]


def publish_some(
    uri: str, diary: Diary, versions: Sequence[int], writer: str, kill_at: str, options: Mapping[str, Any], ready: Any
) -> None:
    """Publish one version after the other, with a failpoint armed; what somebody else prevents is left out."""
    os.environ[VARIABLE] = kill_at
    with open_store(uri) as store:
        ready.send(True)
        for version in versions:
            try:
                publish_version(uri, version, writer, IDS, **options)
            except (ConflictError, PinnedError):
                continue
            diary.note(store)


def in_process(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start `work` in a process of its own."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    child = CONTEXT.Process(target=work, args=arguments, daemon=True)
    child.start()
    return child


@contextmanager
def hammered(uri: str) -> Iterator[tuple[Callable[[], int], list[Report]]]:
    """Readers that hammer the store: how many rounds they have made with the store itself, and, afterwards, reports."""
    works = (read_the_store, read_the_store, read_as_the_api)
    board, reports = Board(len(works)), list[Report]()
    pipes = [CONTEXT.Pipe(duplex=False) for _ in works]
    children = [in_process(work, uri, board, n, pipes[n][1]) for n, work in enumerate(works)]
    try:
        yield lambda: board.rounds(works.count(read_the_store)), reports
        board.stop()
        for (inbox, outbox), child in zip(pipes, children, strict=True):
            outbox.close()
            assert inbox.poll(PATIENCE), "a reader does not end"
            reports.append(inbox.recv())
            child.join(PATIENCE)
            assert child.exitcode == 0
    finally:
        for child in children:
            child.kill()


def stale(report: Report, activations: Sequence[tuple[float, int, str]]) -> list[str]:
    """What a reader saw that had been replaced longer ago than its lag when the read began."""
    found = []
    for generation, began in report.seen:
        known = [n for n, (acknowledged, _, _) in enumerate(activations) if acknowledged <= began - report.lag]
        if generation not in {number for _, number, _ in activations[max(known, default=0) :]}:
            found.append(f"generation {generation}, {began - activations[known[-1]][0]:.3f} s after the next was known")
    return found
