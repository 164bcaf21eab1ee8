"""What a publish to any online store does, alone and undisturbed, and what it verifies.

Here: one writer at a time. Not here: kills and competition (rules_writers.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serving_assets.errors import ConflictError
from serving_assets.store import (
    Control,
    DocumentChange,
    OnlineStore,
    Publication,
    StoreError,
    parity,
    publish,
    read,
    remove_tombstones,
    rollback,
    scan,
)
from tests.store.rules import ALL, ONE, TWO, C, Rules, StoreFactory, lose
from tests.store.snapshots import changes, published, seen, snapshot, target


class PublishingRules(Rules):
    """Part of StoreConformance."""

    def test_inserts_updates_and_removals_become_visible_together(self, store: OnlineStore) -> None:
        """A publish replaces one snapshot by another, and its report counts what it did."""
        first = published(store, C, {}, ONE)
        assert (first.generation, first.changed, first.removed, first.unchanged, first.rows) == (1, 3, 0, 0, 3)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        second = published(store, C, ONE, TWO)
        assert (second.generation, second.changed, second.removed, second.unchanged, second.rows) == (2, 2, 1, 1, 3)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.25, 4: 0.4}
        assert dict(scan(store, C)) == TWO

    def test_the_control_record_says_what_is_published(self, store: OnlineStore) -> None:
        """The control record names the active and the previous generation with all that the target said of them."""
        published(store, C, {}, ONE, version=7, run_id="first")
        published(store, C, ONE, TWO, version=9, run_id="second", as_of="day 2", writer="someone")
        control = store.control(C)
        assert control and control.published and control.before
        assert (control.active, control.previous, control.clean, control.lease) == (2, 1, True, None)
        assert (control.published.snapshot_version, control.published.run_id, control.published.writer) == (
            9,
            "second",
            "someone",
        )
        assert (control.published.rows, control.published.digest) == (3, target(TWO).digest)
        assert (control.before.snapshot_version, control.before.as_of) == (7, "day 1")

    def test_nothing_is_visible_before_the_flip(self, store_factory: StoreFactory) -> None:
        """While documents are written, settled and verified, every reader sees the active generation."""
        writer, reader = store_factory("main"), store_factory("main")
        published(writer, C, {}, ONE)
        publication = Publication.begin(writer, C, writer="w")
        for change in changes(ONE, TWO):
            publication.write([change])
            assert seen(reader, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        publication.settle()
        publication.verify(target(TWO))
        assert dict(scan(reader, C)) == ONE
        publication.flip(target(TWO))
        assert dict(scan(reader, C)) == TWO

    def test_the_first_publish_is_invisible_too(self, store: OnlineStore) -> None:
        """Until the first flip there is nothing to read."""
        Publication.begin(store, C, writer="w").write(changes({}, ONE))
        assert seen(store, C, ALL) == {}
        assert list(scan(store, C)) == []

    def test_an_equal_target_writes_nothing(self, store: OnlineStore) -> None:
        """To publish what is active takes no generation, writes no document and does not even ask for the changes."""
        published(store, C, {}, ONE, version=1)
        documents = list(store.every_document(C))

        def never(_: Control) -> list[DocumentChange]:
            raise AssertionError("no change is needed")

        report = publish(store, C, never, target(ONE, version=2, run_id="again"), writer="w")
        assert (report.generation, report.changed, report.unchanged, report.rows) == (1, 0, 3, 3)
        assert list(store.every_document(C)) == documents
        control = store.control(C)
        assert control and control.published and control.published.snapshot_version == 2
        assert control.published.run_id == "run"

    def test_only_as_of_moved(self, store: OnlineStore) -> None:
        """When every document stays, only the control record is written, and values speak of the newer instant."""
        published(store, C, {}, ONE, as_of="day 1")
        documents = list(store.every_document(C))
        report = published(store, C, ONE, ONE, as_of="day 2")
        assert (report.generation, report.changed, report.unchanged) == (2, 0, 3)
        assert list(store.every_document(C)) == documents
        assert [value and value.as_of for value in read(store, C, [1]).values] == ["day 2"]
        rollback(store, C)
        assert [value and value.as_of for value in read(store, C, [1]).values] == ["day 1"]

    def test_changes_may_be_computed_under_the_lease(self, store: OnlineStore) -> None:
        """A function of changes is given the control record the publish builds on, and nobody publishes meanwhile."""
        published(store, C, {}, ONE, version=5)

        def compute(control: Control) -> list[DocumentChange]:
            assert control.published
            assert control.published.snapshot_version == 5
            with pytest.raises(ConflictError):
                published(store, C, ONE, {}, writer="another")
            return changes(ONE, TWO)

        publish(store, C, compute, target(TWO), writer="w")
        assert dict(scan(store, C)) == TWO

    def test_an_entity_that_disappears_and_comes_back(self, store: OnlineStore) -> None:
        """An entity can leave and return any number of times, before and after its tombstone was removed."""
        present, absent = snapshot({1: 1, 2: 2}), snapshot({1: 1})
        published(store, C, {}, present)
        for turn in range(4):
            published(store, C, present, absent)
            assert seen(store, C, [1, 2]) == {1: 1}
            published(store, C, absent, {**absent, 3: ONE[3]}) if turn % 2 else None
            remove_tombstones(store, C, grace_seconds=0) if turn % 2 else None
            published(store, C, {**absent, 3: ONE[3]} if turn % 2 else absent, present)
            assert seen(store, C, [1, 2, 3]) == {1: 1, 2: 2}

    def test_an_empty_target(self, store: OnlineStore) -> None:
        """A generation without documents is a generation."""
        published(store, C, {}, ONE)
        assert published(store, C, ONE, {}).removed == 3
        assert seen(store, C, ALL) == {}
        rollback(store, C)
        assert dict(scan(store, C)) == ONE

    def test_progress_counts_changes(self, store: OnlineStore) -> None:
        """Progress tells after each batch how many changes were handled."""
        told: list[int] = []
        published(store, C, {}, snapshot(dict.fromkeys(range(25), 1)), batch_rows=10, progress=told.append)
        assert told == [10, 20, 25]

    @pytest.mark.parametrize("wrong", [{"rows": 4}, {"digest": 1}], ids=str)
    def test_changes_that_miss_the_target_are_refused(self, store: OnlineStore, wrong: dict[str, Any]) -> None:
        """A publish whose changes miss the target's count or digest changes nothing visible, nor blocks the next."""
        published(store, C, {}, ONE)
        with pytest.raises(StoreError, match="the changes lead to"):
            publish(store, C, changes(ONE, TWO), replace(target(TWO), **wrong), writer="w")
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO, writer="another")
        assert dict(scan(store, C)) == TWO

    def test_a_lost_document_is_noticed(self, store: OnlineStore) -> None:
        """A store that lost a document which did not change refuses the next generation, and a rewrite fixes it."""
        published(store, C, {}, ONE)
        lose(store, 1)
        with pytest.raises(StoreError, match=r"would hold 2 documents, the target has 3.*rewrite"):
            published(store, C, ONE, TWO)
        publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w", rewrite=True)
        assert dict(scan(store, C)) == TWO

    def test_a_lost_document_that_changes_is_mended(self, store: OnlineStore) -> None:
        """A document that was lost and is written anew stays absent until the flip, and is whole after it."""
        published(store, C, {}, ONE)
        lose(store, 2)
        publication = Publication.begin(store, C, writer="w")
        publication.write(changes(ONE, TWO))
        assert seen(store, C, ALL) == {1: 0.1, 3: 0.3}
        publication.settle()
        publication.verify(target(TWO))
        publication.flip(target(TWO))
        assert dict(scan(store, C)) == TWO

    def test_a_damaged_sample_is_noticed(self, store: OnlineStore) -> None:
        """Documents that do not change are compared too, as far as the changes offer them."""
        published(store, C, {}, ONE)
        store.upsert(C, 1, None, (), [DocumentChange(1, None, '{"v":{"score":9}}')])
        with pytest.raises(StoreError, match=r"would not find what was written for 1.*rewrite"):
            publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w")
        assert parity(store, C, 3, target(ONE).digest).equal is False

    def test_a_rewrite_removes_what_the_lake_does_not_know(self, store: OnlineStore) -> None:
        """A rewrite leaves exactly the target, whatever the store held, and can be rolled back to what was visible."""
        published(store, C, {}, {**ONE, 9: ONE[1]})
        report = publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w", rewrite=True)
        assert dict(scan(store, C)) == TWO
        assert (report.changed, report.removed) == (3, 2)
        rollback(store, C)
        assert dict(scan(store, C)) == {**ONE, 9: ONE[1]}

    def test_parity(self, store: OnlineStore) -> None:
        """Parity reads every document and compares count and digest with what is expected."""
        assert parity(store, C, 0, 0).equal
        published(store, C, {}, TWO)
        published(store, C, TWO, ONE)
        assert parity(store, C, 3, target(ONE).digest).equal
        assert not parity(store, C, 3, target(TWO).digest).equal
        assert not parity(store, C, 4, target(ONE).digest).equal
