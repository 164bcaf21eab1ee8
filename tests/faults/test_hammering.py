"""Readers that hammer a store through all that can befall it see whole generations, all entities, nothing old."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import partial
from itertools import count, product
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from serving_assets.errors import ConflictError
from serving_assets.store import (
    Cause,
    Control,
    OnlineStore,
    Pin,
    PinnedError,
    Publication,
    StoreError,
    open_store,
    parity,
    release,
    rollback,
    set_pin,
)
from tests.faults.hammering import (
    CONTEXT,
    IDS,
    SINGLES_PER_BATCH,
    Diary,
    hammered,
    in_process,
    publish_some,
    stale,
)
from tests.store.children import KILLS, C, lake, publish_version
from tests.store.snapshots import changes, target

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

PUBLISHES, SINGLES, BATCHES = 50, 20_000, 500
ENOUGH = max(SINGLES // SINGLES_PER_BATCH + 1, BATCHES)
KILLED_AT_RANDOM, COMPETITIONS, LATE = 10, 4, 3
ROLLBACKS = list(product((False, True), (False, True))) * 2
"""Whether a publish was killed before, and whether what comes back is pinned."""
FLIPS = 10
"""A reader that asks its cache looks whether there is something new four times a second."""
RUN = "a run"
PATIENCE = 60.0
LONGEST = 200.0
"""Seconds after which the readers are given up: a machine without time then says that the reads were too few."""
SEED = "HAMMERING_SEED"


class Night:
    """The worst of nights: who publishes, dies, competes and rolls back, as the dice say."""

    def __init__(self, uri: str, store: OnlineStore, diary: Diary, dice: random.Random) -> None:
        self.uri, self.store, self.diary, self.dice = uri, store, diary, dice
        self.versions = count(1)
        self.killed = self.mid_publish = 0

    def publish(self) -> None:
        """A publish, perhaps with everything written anew."""
        publish_version(self.uri, next(self.versions), RUN, IDS, rewrite=self.dice.random() < 0.2)

    def kill_at(self, failpoint: str) -> None:
        """A publish is killed at a failpoint."""
        self._bury(self._start(RUN, failpoint), RUN)

    def kill_at_random(self) -> None:
        """A process that publishes without pause is killed at a moment that nobody chose."""
        child = self._start(RUN, versions=100)
        time.sleep(self.dice.uniform(0, 0.3))
        child.kill()
        self._bury(child, RUN)

    def compete(self) -> None:
        """Three publish at once, and may take over from each other at any moment; one of them is killed."""
        versions = {"writer 1": 3, "writer 2": 3, "doomed writer": 100}
        lease_seconds = self.dice.choice((0.0, 300.0))
        children = {name: self._start(name, versions=n, lease_seconds=lease_seconds) for name, n in versions.items()}
        time.sleep(self.dice.uniform(0, 0.3))
        children["doomed writer"].kill()
        for name, child in children.items():
            self._bury(child, name)

    def write_late(self) -> None:
        """What a writer had sent reaches the store when another has long taken over, published and changed nothing."""
        control = self._control()
        if control.lease:
            release(self.store, C, control.lease)
        assert control.published
        active = control.published.snapshot_version
        every = changes(lake(active, IDS), lake(next(self.versions), IDS))
        late = Publication.begin(self.store, C, writer="late writer", lease_seconds=0)
        late.write(every[::2])
        publish_version(self.uri, active, RUN, IDS)
        self.store.upsert(C, late.generation, late.base, late.control.void, every[1::2])
        with pytest.raises(ConflictError):
            late.write(every[::2])

    def roll_back(self, half_way: bool, pinned: bool) -> None:
        """What was before comes back, in one write after a publish, as a new generation after one that was killed."""
        if half_way:
            self.kill_at("store.publish.mid_write")
        else:
            self.publish()
        pin = Pin("somebody", "now", "the dice") if pinned else None
        cause = Cause("rollback", by="somebody", pin=pin)
        control = self._control()
        assert control.published
        if control.lease:
            release(self.store, C, control.lease)
        if half_way:
            with pytest.raises(StoreError, match="half-way"):
                rollback(self.store, C, cause=cause)
            earlier = max(control.published.snapshot_version - 1, 1)
            publish_version(self.uri, earlier, "somebody", IDS, cause=cause)
        else:
            rollback(self.store, C, cause=cause)
        if pinned:
            with pytest.raises(PinnedError):
                self.publish()
            set_pin(self.store, C, Cause("resume", by="somebody"))

    def assert_sound(self) -> None:
        """Every document is the lake's."""
        self.diary.note(self.store)
        published = self._control().published
        assert published
        whole = target(lake(published.snapshot_version, IDS))
        assert parity(self.store, C, whole.rows, whole.digest).equal

    def _start(self, writer: str, kill_at: str = "", versions: int = 1, **options: Any) -> Any:
        """A process that publishes, from the moment at which it is about to."""
        inbox, outbox = CONTEXT.Pipe(duplex=False)
        numbers = [next(self.versions) for _ in range(versions)]
        child = in_process(publish_some, self.uri, self.diary, numbers, writer, kill_at, options, outbox)
        assert inbox.poll(PATIENCE)
        return child

    def _bury(self, child: Any, writer: str) -> None:
        """Wait for a writer's end. What one that was killed leaves is repaired in its own name, or by anybody."""
        child.join(PATIENCE)
        assert child.exitcode in (0, -SIGKILL)
        self.killed += child.exitcode == -SIGKILL
        lease = self._control().lease
        if lease and lease.writer == writer:
            self.mid_publish += 1
            if writer != RUN or self.dice.random() < 0.5:
                assert release(self.store, C, lease)

    def _control(self) -> Control:
        control = self.store.control(C)
        assert control
        return control


def acts(night: Night) -> list[Callable[[], None]]:
    """What befalls the store, in an order that the dice choose."""
    planned: list[Callable[[], None]] = [
        *(partial(night.kill_at, failpoint) for failpoint in KILLS * 2),
        *[night.kill_at_random] * KILLED_AT_RANDOM,
        *[night.compete] * COMPETITIONS,
        *[night.write_late] * LATE,
        *(partial(night.roll_back, *how) for how in ROLLBACKS),
        *[night.publish] * (PUBLISHES // 3),
    ]
    night.dice.shuffle(planned)
    return planned


def published(night: Night) -> int:
    """How many publishes have become active so far."""
    return sum(kind == "publish" for _, _, kind in night.diary.activations())


@pytest.mark.timeout(LONGEST + 100)
def test_readers_see_one_generation_whatever_happens(uri: str, tmp_path: Path) -> None:
    """While a store is published to 50 times, killed, rolled back and fought over, no read of any process is wrong."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    print(f"To throw the same dice: {SEED}={seed}")  # noqa: T201 (pytest shows it where the test fails)
    until = time.monotonic() + LONGEST
    with open_store(uri) as store:
        night = Night(uri, store, Diary(tmp_path / "diary"), random.Random(seed))
        night.publish()
        night.assert_sound()
        with hammered(uri) as (rounds, reports):
            for act in acts(night):
                act()
                night.assert_sound()
            while (rounds() < ENOUGH or published(night) < PUBLISHES) and time.monotonic() < until:
                night.publish()
                night.assert_sound()
    activations = night.diary.activations()
    for report in reports:
        assert report.wrong == []
        assert stale(report, activations) == []
        assert len(report.seen) >= FLIPS, "a reader saw too few generations to prove anything"
    asked = [report for report in reports if not report.lag]
    assert sum(report.singles for report in asked) >= SINGLES, "too few reads to prove anything"
    assert sum(report.batches for report in asked) >= BATCHES, "too few batches to prove anything"
    assert sum(report.disturbed for report in asked) >= SINGLES // 10, "too few reads met a publish"
    assert published(night) >= PUBLISHES
    half_way = sum(half_way for half_way, _ in ROLLBACKS)
    assert night.killed == len(KILLS) * 2 + half_way + KILLED_AT_RANDOM + COMPETITIONS
    assert night.mid_publish >= len(KILLS) * 2, "too few died in the middle of a publish"
