"""What any online store promises when writers die, compete or wake up late, and what rollback and retention do.

Here: more than one writer, and time going backwards. Not here: kills of real processes (tests/faults).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serving_assets.errors import ConflictError
from serving_assets.store import (
    DocumentChange,
    OnlineStore,
    Publication,
    StoreError,
    publish,
    remove_tombstones,
    rollback,
    scan,
)
from tests.store.rules import ALL, ONE, TWO, C, Rules, StoreFactory, control_once
from tests.store.snapshots import changes, published, seen, snapshot, target


class WriterRules(Rules):
    """Part of StoreConformance."""

    def test_a_killed_publish_is_invisible_and_repaired_by_the_next(self, store: OnlineStore) -> None:
        """Documents of a killed publish are never seen, and the next publish settles those it does not overwrite."""
        published(store, C, {}, ONE)
        Publication.begin(store, C, writer="killed", lease_seconds=0).write(changes(ONE, snapshot({1: 9, 2: 9, 5: 9})))
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.2, 3: 0.3}
        report = published(store, C, ONE, TWO)
        assert report.repaired == 2
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.25, 4: 0.4}
        assert all(document.cur_g != 2 for document in store.every_document(C))

    def test_a_killed_first_publish(self, store: OnlineStore) -> None:
        """What a killed first publish wrote and the next does not want is gone."""
        Publication.begin(store, C, writer="killed", lease_seconds=0).write(changes({}, snapshot({1: 9, 7: 9})))
        published(store, C, {}, ONE)
        assert dict(scan(store, C)) == ONE
        assert seen(store, C, [7]) == {}

    def test_an_abandoned_publish_frees_the_collection(self, store: OnlineStore) -> None:
        """A publish that fails gives its lease back at once, and what it wrote stays void."""
        published(store, C, {}, ONE)

        def broken() -> Iterator[DocumentChange]:
            yield from changes(ONE, TWO)
            raise OSError("the lake went away")

        with pytest.raises(OSError, match="went away"):
            publish(store, C, broken(), target(TWO), writer="w", batch_rows=1)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO, writer="another")
        assert dict(scan(store, C)) == TWO

    def test_of_two_writers_one_wins(self, store_factory: StoreFactory) -> None:
        """While one writer holds the lease, another is told who holds it and stops."""
        store, other = store_factory("main"), store_factory("main")
        Publication.begin(store, C, writer="the first")
        with pytest.raises(ConflictError, match="the first publishes generation 1"):
            published(other, C, {}, ONE, writer="the second")

    def test_two_writers_that_begin_at_the_same_instant(self, store_factory: StoreFactory) -> None:
        """When two writers saw the same control record, the compare-and-set lets one of them through."""
        store, other = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        old = other.control(C)
        Publication.begin(store, C, writer="the first")
        with control_once(other, old), pytest.raises(ConflictError, match="the first publishes generation 2"):
            Publication.begin(other, C, writer="the second")

    def test_a_lease_runs_out(self, store: OnlineStore) -> None:
        """The lease of a dead writer runs out, and one that lives renews it with each batch."""
        dead = Publication.begin(store, C, writer="dead", lease_seconds=0)
        living = Publication.begin(store, C, writer="living", lease_seconds=1000)
        with pytest.raises(ConflictError):
            Publication.begin(store, C, writer="third")
        with pytest.raises(ConflictError, match="living"):
            dead.write(changes({}, ONE))
        renewing = Publication.begin(store, C, writer="living", lease_seconds=0)
        before = renewing.control.lease
        renewing.write(changes({}, ONE))
        assert before and renewing.control.lease and renewing.control.lease.expires_at > before.expires_at
        with pytest.raises(ConflictError):
            living.flip(target(ONE))

    @pytest.mark.parametrize("step", ["write", "settle", "verify", "flip"])
    @pytest.mark.parametrize("rival_done", [False, True])
    def test_a_fenced_out_writer_stops_at_every_step(self, store: OnlineStore, step: str, rival_done: bool) -> None:
        """Once another took over, a writer stops at whichever step is next, with the other's name; it flips nothing."""
        published(store, C, {}, ONE)
        zombie = Publication.begin(store, C, writer="zombie", lease_seconds=0)
        zombie.write(changes(ONE, snapshot({1: 8, 2: 8})))
        rival = Publication.begin(store, C, writer="rival")
        rival.write(changes(ONE, TWO))
        if rival_done:
            rival.settle()
            rival.flip(target(TWO))
        argument: tuple[Any, ...] = {"write": ([],), "settle": ()}.get(step, (target(snapshot({1: 8, 2: 8})),))
        with pytest.raises(
            ConflictError, match="3 is|active is now 3" if rival_done else "rival publishes generation 3"
        ):
            getattr(zombie, step)(*argument)
        zombie.abandon()
        control = store.control(C)
        assert control and control.active == (3 if rival_done else 1)
        assert bool(control.lease) is not rival_done

    def test_late_writes_of_a_fenced_out_writer_are_never_seen(self, store: OnlineStore) -> None:
        """What a zombie writes after the other's flip stays invisible, through later publishes and rollbacks."""
        published(store, C, {}, ONE)
        zombie = Publication.begin(store, C, writer="zombie", lease_seconds=0)
        published(store, C, ONE, TWO)
        late = changes(ONE, snapshot({1: 8, 2: 8, 3: 8, 4: 8, 5: 8}))
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.25, 4: 0.4}
        published(store, C, TWO, ONE)
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.2, 3: 0.3}
        rollback(store, C)
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert dict(scan(store, C)) == TWO

    def test_late_writes_of_a_writer_that_gave_up(self, store: OnlineStore) -> None:
        """Writes that were under way when a publish was abandoned stay as invisible as those of a zombie."""
        published(store, C, {}, ONE)
        given_up = Publication.begin(store, C, writer="w")
        given_up.abandon()
        published(store, C, ONE, TWO)
        store.upsert(C, given_up.generation, given_up.base, given_up.control.void, changes(ONE, snapshot({1: 8, 5: 8})))
        assert dict(scan(store, C)) == TWO

    def test_late_writes_are_settled(self, store: OnlineStore) -> None:
        """What a zombie wrote after the other's flip is put right by the next publish, and counted as repaired."""
        published(store, C, {}, ONE)
        zombie = Publication.begin(store, C, writer="zombie", lease_seconds=0)
        published(store, C, ONE, TWO)
        late = changes(ONE, snapshot({1: 8, 2: 8, 3: 8, 4: 8, 5: 8}))
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert published(store, C, TWO, TWO, as_of="day 2").repaired == 2
        assert all(document.cur_g != zombie.generation for document in store.every_document(C))

    def test_a_publish_over_late_writes(self, store: OnlineStore) -> None:
        """A document that a zombie wrote keeps showing its old value while the next generation is written over it."""
        published(store, C, {}, ONE)
        zombie = Publication.begin(store, C, writer="zombie", lease_seconds=0)
        published(store, C, ONE, TWO)
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, changes(ONE, snapshot({1: 8, 2: 8, 3: 8})))
        Publication.begin(store, C, writer="w").write(changes(TWO, snapshot({1: 7, 2: 7, 4: 7})))
        assert dict(scan(store, C)) == TWO

    def test_what_was_rolled_back_never_comes_back_late(self, store: OnlineStore) -> None:
        """A delayed write of a generation that was rolled back is void, even when the document is long gone."""
        published(store, C, {}, ONE)
        rolled_back = Publication.begin(store, C, writer="w")
        rolled_back.write(changes(ONE, {**ONE, 9: ONE[1]}))
        rolled_back.flip(target({**ONE, 9: ONE[1]}))
        rollback(store, C)
        published(store, C, ONE, TWO)
        published(store, C, TWO, {})
        assert remove_tombstones(store, C, grace_seconds=0) == 2
        store.upsert(C, rolled_back.generation, rolled_back.base, (), changes(ONE, {**ONE, 9: ONE[1]}))
        assert seen(store, C, [*ALL, 9]) == {}

    def test_zombies_cannot_bring_a_removed_document_back(self, store: OnlineStore) -> None:
        """Late writes to a removed entity, by one zombie twice or by two, create a document that nobody sees."""
        published(store, C, {}, ONE)
        zombies = [Publication.begin(store, C, writer="zombie", lease_seconds=0) for _ in range(2)]
        published(store, C, ONE, TWO)
        published(store, C, TWO, {1: TWO[1]})
        assert remove_tombstones(store, C, grace_seconds=0) == 1
        for zombie in [zombies[0], zombies[0], zombies[1]]:
            store.upsert(C, zombie.generation, zombie.base, zombie.control.void, [DocumentChange(3, ONE[3], "{}")])
            assert seen(store, C, ALL) == {1: 0.1}

    def test_rollback_is_one_write_and_publishing_goes_on(self, store: OnlineStore) -> None:
        """A rollback shows the previous generation at once, touches no document, and the next publish builds on it."""
        published(store, C, {}, ONE, as_of="day 1")
        published(store, C, ONE, TWO, as_of="day 2")
        documents = list(store.every_document(C))
        control = rollback(store, C)
        assert (control.active, control.previous) == (1, None)
        assert list(store.every_document(C)) == documents
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        three = snapshot({1: 0.5, 3: 0.3})
        report = published(store, C, ONE, three)
        assert report.generation == 3
        assert dict(scan(store, C)) == three
        rollback(store, C)
        assert dict(scan(store, C)) == ONE

    def test_what_was_rolled_back_can_be_published_again(self, store: OnlineStore) -> None:
        """The rolled-back content comes back as a new generation."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        rollback(store, C)
        assert published(store, C, ONE, TWO).generation == 3
        assert dict(scan(store, C)) == TWO

    def test_rollback_without_a_previous_generation(self, store: OnlineStore) -> None:
        """There is no rollback before the second publish, and none after a rollback; the error names the other way."""
        with pytest.raises(StoreError, match="nothing has been published"):
            rollback(store, C)
        published(store, C, {}, ONE)
        with pytest.raises(StoreError, match=r"no previous one.*lake's history"):
            rollback(store, C)
        published(store, C, ONE, TWO)
        rollback(store, C)
        with pytest.raises(StoreError, match="no previous one"):
            rollback(store, C)

    def test_rollback_while_somebody_publishes_or_was_killed(self, store: OnlineStore) -> None:
        """Once documents may have been touched, the previous generation may be gone, so a rollback is refused."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        running = Publication.begin(store, C, writer="somebody")
        with pytest.raises(ConflictError, match="somebody"):
            rollback(store, C)
        running.abandon()
        with pytest.raises(StoreError, match=r"stopped half-way.*lake's history"):
            rollback(store, C)
        assert dict(scan(store, C)) == TWO
        assert published(store, C, TWO, TWO).generation == 4
        assert dict(scan(store, C)) == TWO
        assert rollback(store, C).active == 2

    def test_tombstones_are_kept_while_someone_may_need_them(self, store: OnlineStore) -> None:
        """A tombstone leaves when active and previous generation both lack the entity and the flip is old enough."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        assert remove_tombstones(store, C, grace_seconds=0) == 0
        rollback(store, C)
        assert remove_tombstones(store, C, grace_seconds=0) == 0
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO)
        published(store, C, TWO, snapshot({1: 0.1, 2: 0.25}))
        assert remove_tombstones(store, C) == 0
        assert remove_tombstones(store, C, grace_seconds=0) == 1
        assert {document.entity for document in store.every_document(C)} == {1, 2, 4}
