"""Pins, the log of activations, and a store that was lost: what keeps people's decisions from being undone.

Here: what holds for every store. Not here: the lake's log (tests/pipeline), or plain rollbacks (rules_writers.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serving_assets.errors import ConflictError
from serving_assets.store import (
    Cause,
    DocumentChange,
    OnlineStore,
    Pin,
    PinnedError,
    Publication,
    StoreError,
    rollback,
    scan,
    set_pin,
)
from tests.store.rules import ALL, ONE, TWO, C, Rules, StoreFactory
from tests.store.snapshots import changes, published, seen, snapshot, target

PIN = Pin("somebody@night", "2017-06-01T03:00:00+00:00", "scores are all one")
ROLLBACK = Cause("rollback", PIN.by, PIN.reason, pin=PIN)
THREE = snapshot({1: 0.5})


class PinningRules(Rules):
    @pytest.fixture
    def pinned(self, store: OnlineStore) -> OnlineStore:
        """Two generations, rolled back to the first and pinned there."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        rollback(store, C, cause=ROLLBACK)
        return store

    @pytest.mark.parametrize("new", [ONE, TWO])
    def test_a_pinned_collection_refuses_every_publish(self, pinned: OnlineStore, new: dict[Any, str]) -> None:
        """A publish to a pinned collection says who pinned it and why, and writes nothing, not even an equal target."""
        before = pinned.control(C), list(pinned.every_document(C))
        with pytest.raises(PinnedError, match=r"generation 1 since 2017-06-01.*somebody@night: scores are all one"):
            published(pinned, C, ONE, new)
        with pytest.raises(PinnedError):
            Publication.begin(pinned, C, writer="w")
        assert (pinned.control(C), list(pinned.every_document(C))) == before

    def test_a_rollback_may_replace_what_is_pinned(self, pinned: OnlineStore) -> None:
        """A rollback that republishes an older snapshot passes a pin and sets its own, in the write that flips."""
        later = replace(PIN, reason="further back")
        published(pinned, C, ONE, THREE, cause=Cause("rollback", PIN.by, pin=later, repeats=1))
        control = pinned.control(C)
        assert control and control.published and control.pinned == later
        assert (control.active, control.published.repeats) == (3, 1)
        assert dict(scan(pinned, C)) == THREE

    def test_a_failed_rollback_pins_nothing(self, store: OnlineStore) -> None:
        """Whoever sees a pin sees the generation that it is about: before the flip there is none."""
        published(store, C, {}, ONE)
        running = Publication.begin(store, C, writer="w", cause=ROLLBACK)
        running.write(changes(ONE, TWO))
        running.abandon()
        assert (control := store.control(C)) and control.pinned is None

    def test_resume_lets_publishing_go_on(self, pinned: OnlineStore) -> None:
        """Unpinning changes nothing that readers see; the next publish then replaces it."""
        control = set_pin(pinned, C, Cause("resume", "somebody"))
        assert (control.active, control.pinned) == (1, None)
        assert dict(scan(pinned, C)) == ONE
        assert published(pinned, C, ONE, TWO).generation == 3

    def test_the_active_generation_can_be_pinned(self, store: OnlineStore) -> None:
        """What is active can be pinned as it is, and stays pinned through a pin of somebody else."""
        published(store, C, {}, ONE)
        for pin in (PIN, replace(PIN, by="another")):
            assert set_pin(store, C, replace(ROLLBACK, pin=pin)).pinned == pin
        assert dict(scan(store, C)) == ONE

    def test_a_pin_waits_for_a_running_publish(self, store: OnlineStore) -> None:
        """While somebody publishes, a pin is refused with the holder's name; before the first publish, as senseless."""
        with pytest.raises(StoreError, match="nothing has been published"):
            set_pin(store, C, ROLLBACK)
        published(store, C, {}, ONE)
        Publication.begin(store, C, writer="the nightly run")
        with pytest.raises(ConflictError, match="the nightly run"):
            set_pin(store, C, ROLLBACK)

    def test_a_rollback_leads_where_it_was_decided_to(self, store: OnlineStore) -> None:
        """A rollback that was decided when another generation was previous changes nothing."""
        for old, new in (({}, ONE), (ONE, TWO), (TWO, THREE)):
            published(store, C, old, new)
        with pytest.raises(ConflictError, match="to 2, not to 1"):
            rollback(store, C, to=1)
        assert rollback(store, C, to=2).active == 2

    def test_the_control_record_remembers_the_newest_activations(self, pinned: OnlineStore) -> None:
        """Each change of what readers get is remembered with its kind, author and moment, in the order it happened."""
        set_pin(pinned, C, Cause("resume", "somebody else", "fixed"))
        control = pinned.control(C)
        assert control
        assert [(a.generation.number, a.kind, a.by, a.reason) for a in control.activations] == [
            (2, "publish", "a writer", ""),
            (1, "rollback", PIN.by, PIN.reason),
            (1, "resume", "somebody else", "fixed"),
        ]
        moments = [activation.at for activation in control.activations]
        assert moments == sorted(set(moments))

    def test_moments_never_go_back(self, store: OnlineStore) -> None:
        """A writer whose clock is late gives its activation a moment after the one before."""
        published(store, C, {}, ONE)
        control = store.control(C)
        assert control
        ahead = replace(control.activations[-1], at="2999-01-01T00:00:00.000000+00:00")
        assert store.swap(C, control.revision, replace(control, revision=9, activations=(ahead,)))
        assert published(store, C, ONE, TWO).generation == 2
        control = store.control(C)
        assert control and control.activations[-1].at == control.since == "2999-01-01T00:00:00.000001+00:00"

    def test_a_lost_store_goes_on_behind_its_numbers(self, store_factory: StoreFactory) -> None:
        """After a loss, numbers go on behind all that were used, and late writes of the lost store's writers are void.

        Also of writers that took a number nobody but the lost store knew.
        """
        lost, store = store_factory("lost"), store_factory("new")
        published(lost, C, {}, ONE)
        published(lost, C, ONE, TWO)
        zombies = [Publication.begin(lost, C, writer="zombie", lease_seconds=0) for _ in range(3)]
        report = published(store, C, {}, ONE, highest_known_generation=2)
        assert report.generation > 2 + len(zombies)
        for zombie in zombies:
            store.upsert(
                C, zombie.generation, zombie.base, (), [DocumentChange(1, ONE[1], "{}"), DocumentChange(9, None, "{}")]
            )
        store.upsert(C, 1, None, (), [DocumentChange(8, None, "{}")])
        assert seen(store, C, [*ALL, 8, 9]) == {1: 0.1, 2: 0.2, 3: 0.3}
        assert published(store, C, ONE, TWO, highest_known_generation=2).generation == report.generation + 1
        assert dict(scan(store, C)) == TWO

    def test_a_store_that_came_back_older(self, store: OnlineStore) -> None:
        """A store restored from a backup shows its old generation, and the next publish leaves out what it forgot."""
        published(store, C, {}, ONE)
        report = published(store, C, ONE, TWO, highest_known_generation=7)
        assert report.generation > 8
        store.upsert(C, 7, 1, (), [DocumentChange(9, None, "{}")])
        assert dict(scan(store, C)) == TWO
        assert rollback(store, C).active == 1
        assert dict(scan(store, C)) == ONE

    def test_documents_without_their_control_record(self, store: OnlineStore) -> None:
        """Documents that are left when only the control record was lost are overwritten or removed, never shown."""
        store.upsert(C, 5, 4, (), [DocumentChange(1, None, "{}"), DocumentChange(7, None, "{}")])
        published(store, C, {}, ONE, highest_known_generation=4)
        assert seen(store, C, [*ALL, 7]) == {1: 0.1, 2: 0.2, 3: 0.3}
        assert target(ONE).rows == store.count(C, 10_000, ())
