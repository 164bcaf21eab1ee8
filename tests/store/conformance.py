"""What every online store must do: subclass StoreConformance, give it `store_factory`, and each sentence here becomes a test.

Here: the protocol, seen from outside and through two handles on one database. Not here: one implementation's faults (test_sqlite.py)
or its speed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from serving_assets.errors import ConflictError, InputError
from serving_assets.store import Change, Control, OnlineStore, Publication, StoreError, parity, publish
from serving_assets.store.reading import ATTEMPTS
from tests.store.machine import StoreMachine
from tests.store.snapshots import changes, published, seen, snapshot, target

StoreFactory = Callable[[str], OnlineStore]
"""Opens the database of that name, empty at first; every call with the same name is another handle on the same database."""

C = "purchase_propensity"
ONE = snapshot({1: 0.1, 2: 0.2, 3: 0.3})
TWO = snapshot({1: 0.1, 2: 0.25, 4: 0.4})
ALL: list[Any] = [1, 2, 3, 4]


class StoreConformance:
    """The suite. A subclass provides the fixture `store_factory`."""

    @pytest.fixture
    def store_factory(self) -> Iterator[StoreFactory]:
        raise NotImplementedError("a subclass says how to open its store")

    @pytest.fixture
    def store(self, store_factory: StoreFactory) -> OnlineStore:
        return store_factory("main")

    # Reading

    def test_nothing_published(self, store: OnlineStore) -> None:
        """Before the first publish every entity is absent, and there is nothing to scan."""
        reading = store.read(C, [1, "a"])
        assert (reading.control, reading.values) == (None, [None, None])
        assert list(store.scan(C)) == []
        assert store.collections() == []

    def test_answers_in_the_order_of_the_question(self, store: OnlineStore) -> None:
        """A read answers each id in its place, a repeated one as often as it is asked for, an unknown one with None."""
        published(store, C, {}, ONE)
        found = store.read(C, [3, 9, 1, 3]).values
        assert [value and value.entity for value in found] == [3, None, 1, 3]

    def test_more_ids_than_one_statement_takes(self, store: OnlineStore) -> None:
        """A read of thousands of ids is still one answer from one generation."""
        many = snapshot({number: number for number in range(5_000)})
        published(store, C, {}, many)
        assert seen(store, C, list(range(4_000, 8_000))) == {number: number for number in range(4_000, 5_000)}

    @pytest.mark.parametrize("pair", [(1, "1"), (-1, "-1"), (0, ""), ("a", "A"), ("é", "e\u0301"), ("a", "a ")])
    def test_ids_keep_their_type(self, store: OnlineStore, pair: tuple[Any, Any]) -> None:
        """Two ids that differ in type or by any character are two documents."""
        published(store, C, {}, snapshot({pair[0]: 1}))
        assert seen(store, C, list(pair)) == {pair[0]: 1}
        published(store, C, snapshot({pair[0]: 1}), snapshot({pair[0]: 1, pair[1]: 2}))
        assert seen(store, C, list(pair)) == {pair[0]: 1, pair[1]: 2}

    @pytest.mark.parametrize("entity", [0, -1, 2**63 - 1, -(2**63), "", "a\x00b", "\U0001f6d2", "x" * 500, "$a.b"])
    def test_any_id_round_trips(self, store: OnlineStore, entity: Any) -> None:
        """Every 64-bit integer and every valid text is an id, and a scan gives it back with its type."""
        published(store, C, {}, snapshot({entity: 1}))
        assert list(store.scan(C)) == list(snapshot({entity: 1}).items())
        assert seen(store, C, [entity]) == {entity: 1}

    @pytest.mark.parametrize("entity", [True, 1.0, None, 2**63, "\ud800", b"1"])
    def test_unusable_ids_are_refused(self, store: OnlineStore, entity: Any) -> None:
        """An id that no store can keep apart from others is refused by reads and publishes alike."""
        published(store, C, {}, ONE)
        with pytest.raises(InputError, match="entity id"):
            store.read(C, [entity])
        with pytest.raises(InputError, match="entity id"):
            publish(store, C, [Change(entity, None, "{}")], target(TWO), writer="w")
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_values_say_where_they_come_from(self, store: OnlineStore) -> None:
        """What a document leaves out about its run is the generation's."""
        own = json.dumps({"v": {"score": 2}, "as_of": "day 0", "model_version": "2"})
        published(store, C, {}, {**snapshot({1: 1}), 2: own}, as_of="day 1")
        inherits, carries = store.read(C, [1, 2]).values
        assert inherits and (inherits.value, inherits.as_of, inherits.model_version) == ({"score": 1}, "day 1", "3")
        assert carries and (carries.value, carries.as_of, carries.model_version) == ({"score": 2}, "day 0", "2")

    def test_collections_are_apart(self, store: OnlineStore) -> None:
        """A publish, a rollback or a killed publish in one collection changes nothing in another."""
        published(store, C, {}, ONE)
        published(store, "other", {}, TWO)
        Publication.begin(store, "other", writer="killed").write(changes(TWO, ONE))
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        assert seen(store, "other", ALL) == {1: 0.1, 2: 0.25, 4: 0.4}
        assert store.collections() == sorted([C, "other"])

    def test_a_reader_that_is_overtaken_twice_reads_again(self, store_factory: StoreFactory) -> None:
        """A reader whose generation is gone when its documents arrive asks anew, and answers from the newer one."""
        store, behind = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        old = behind.control(C)
        published(store, C, ONE, TWO)
        published(store, C, TWO, snapshot({2: 0.9}))
        with _control_once(behind, old) as asked:
            reading = behind.read(C, [2])
        assert reading.control and reading.control.active == 3
        assert [value and value.value for value in reading.values] == [{"score": 0.9}]
        assert asked == [old, reading.control]

    def test_a_reader_that_is_overtaken_once_finds_its_generation(self, store_factory: StoreFactory) -> None:
        """One publish after a reader learned the active generation leaves that generation readable, document by document."""
        store, behind = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        old = behind.control(C)
        published(store, C, ONE, TWO)
        with _control_once(behind, old):
            assert seen(behind, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_a_reader_behind_a_rollback_never_mixes(self, store_factory: StoreFactory) -> None:
        """After a rollback and the start of another publish, a reader of the rolled-back generation must read again."""
        store, behind = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        rolled_back = behind.control(C)
        store.rollback(C)
        Publication.begin(store, C, writer="w").write(changes(ONE, snapshot({1: 0.1, 2: 0.7, 3: 0.3})))
        with _control_once(behind, rolled_back):
            assert seen(behind, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_damage_is_not_an_endless_loop(self, store: OnlineStore) -> None:
        """Documents that belong to no generation end a read with an error that names the mend."""
        published(store, C, {}, ONE)
        store.upsert(C, 9, 8, (), [Change(1, None, ONE[1])])
        with pytest.raises(StoreError, match=f"{ATTEMPTS} reads in a row.*rewrite"):
            store.read(C, [1])

    @pytest.mark.parametrize("damaged", ["", "{", "[]", "1", '{"as_of": "x"}'])
    def test_a_damaged_document_is_an_error(self, store: OnlineStore, damaged: str) -> None:
        """A document that is not what was published is reported, never served."""
        published(store, C, {}, {1: damaged})
        with pytest.raises(StoreError, match="damaged"):
            store.read(C, [1])

    # Publishing

    def test_inserts_updates_and_removals_become_visible_together(self, store: OnlineStore) -> None:
        """A publish replaces one snapshot by another, and its report counts what it did."""
        first = published(store, C, {}, ONE)
        assert (first.generation, first.changed, first.removed, first.unchanged, first.rows) == (1, 3, 0, 0, 3)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        second = published(store, C, ONE, TWO)
        assert (second.generation, second.changed, second.removed, second.unchanged, second.rows) == (2, 2, 1, 1, 3)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.25, 4: 0.4}
        assert dict(store.scan(C)) == TWO

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
        assert dict(reader.scan(C)) == ONE
        publication.flip(target(TWO))
        assert dict(reader.scan(C)) == TWO

    def test_the_first_publish_is_invisible_too(self, store: OnlineStore) -> None:
        """Until the first flip there is nothing to read."""
        Publication.begin(store, C, writer="w").write(changes({}, ONE))
        assert seen(store, C, ALL) == {}
        assert list(store.scan(C)) == []

    def test_an_equal_target_writes_nothing(self, store: OnlineStore) -> None:
        """To publish what is active already takes no generation, writes no document and does not even ask for the changes."""
        published(store, C, {}, ONE, version=1)
        documents = list(store.every_document(C))

        def never(_: Control) -> list[Change]:
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
        assert [value and value.as_of for value in store.read(C, [1]).values] == ["day 2"]
        store.rollback(C)
        assert [value and value.as_of for value in store.read(C, [1]).values] == ["day 1"]

    def test_changes_may_be_computed_under_the_lease(self, store: OnlineStore) -> None:
        """A function of changes is called with the control record that the publish builds on, when nobody else can publish."""
        published(store, C, {}, ONE, version=5)

        def compute(control: Control) -> list[Change]:
            assert control.published
            assert control.published.snapshot_version == 5
            with pytest.raises(ConflictError):
                published(store, C, ONE, {}, writer="another")
            return changes(ONE, TWO)

        publish(store, C, compute, target(TWO), writer="w")
        assert dict(store.scan(C)) == TWO

    def test_an_entity_that_disappears_and_comes_back(self, store: OnlineStore) -> None:
        """An entity can leave and return any number of times, before and after its tombstone was removed."""
        present, absent = snapshot({1: 1, 2: 2}), snapshot({1: 1})
        published(store, C, {}, present)
        for turn in range(4):
            published(store, C, present, absent)
            assert seen(store, C, [1, 2]) == {1: 1}
            published(store, C, absent, {**absent, 3: ONE[3]}) if turn % 2 else None
            store.remove_tombstones(C, grace_seconds=0) if turn % 2 else None
            published(store, C, {**absent, 3: ONE[3]} if turn % 2 else absent, present)
            assert seen(store, C, [1, 2, 3]) == {1: 1, 2: 2}

    def test_an_empty_target(self, store: OnlineStore) -> None:
        """A generation without documents is a generation."""
        published(store, C, {}, ONE)
        assert published(store, C, ONE, {}).removed == 3
        assert seen(store, C, ALL) == {}
        store.rollback(C)
        assert dict(store.scan(C)) == ONE

    def test_progress_counts_changes(self, store: OnlineStore) -> None:
        """Progress tells after each batch how many changes were handled."""
        told: list[int] = []
        published(store, C, {}, snapshot(dict.fromkeys(range(25), 1)), batch_rows=10, progress=told.append)
        assert told == [10, 20, 25]

    # Verification

    @pytest.mark.parametrize("wrong", [{"rows": 4}, {"digest": 1}], ids=str)
    def test_changes_that_miss_the_target_are_refused(self, store: OnlineStore, wrong: dict[str, int]) -> None:
        """A publish whose changes do not lead to the target's count and digest changes nothing visible, nor blocks the next."""
        published(store, C, {}, ONE)
        with pytest.raises(StoreError, match="the changes lead to"):
            publish(store, C, changes(ONE, TWO), replace(target(TWO), **wrong), writer="w")
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO, writer="another")
        assert dict(store.scan(C)) == TWO

    def test_a_lost_document_is_noticed(self, store: OnlineStore) -> None:
        """A store that lost a document which did not change refuses the next generation, and a rewrite mends it."""
        published(store, C, {}, ONE)
        _lose(store, 1)
        with pytest.raises(StoreError, match=r"would hold 2 documents, the target has 3.*rewrite"):
            published(store, C, ONE, TWO)
        publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w", rewrite=True)
        assert dict(store.scan(C)) == TWO

    def test_a_lost_document_that_changes_is_mended(self, store: OnlineStore) -> None:
        """A document that was lost and is written anew stays absent until the flip, and is whole after it."""
        published(store, C, {}, ONE)
        _lose(store, 2)
        publication = Publication.begin(store, C, writer="w")
        publication.write(changes(ONE, TWO))
        assert seen(store, C, ALL) == {1: 0.1, 3: 0.3}
        publication.settle()
        publication.verify(target(TWO))
        publication.flip(target(TWO))
        assert dict(store.scan(C)) == TWO

    def test_a_damaged_sample_is_noticed(self, store: OnlineStore) -> None:
        """Documents that do not change are compared too, as far as the changes offer them."""
        published(store, C, {}, ONE)
        store.upsert(C, 1, None, (), [Change(1, None, '{"v":{"score":9}}')])
        with pytest.raises(StoreError, match=r"would not find what was written for 1.*rewrite"):
            publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w")
        assert parity(store, C, 3, target(ONE).digest).equal is False

    def test_a_rewrite_removes_what_the_lake_does_not_know(self, store: OnlineStore) -> None:
        """A rewrite leaves exactly the target, whatever the store held, and can be rolled back to what was visible."""
        published(store, C, {}, {**ONE, 9: ONE[1]})
        report = publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w", rewrite=True)
        assert dict(store.scan(C)) == TWO
        assert (report.changed, report.removed) == (3, 2)
        store.rollback(C)
        assert dict(store.scan(C)) == {**ONE, 9: ONE[1]}

    def test_parity(self, store: OnlineStore) -> None:
        """Parity reads every document and compares count and digest with what is expected."""
        assert parity(store, C, 0, 0).equal
        published(store, C, {}, TWO)
        published(store, C, TWO, ONE)
        assert parity(store, C, 3, target(ONE).digest).equal
        assert not parity(store, C, 3, target(TWO).digest).equal
        assert not parity(store, C, 4, target(ONE).digest).equal

    # Writers that are killed, compete, or wake up late

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
        assert dict(store.scan(C)) == ONE
        assert seen(store, C, [7]) == {}

    def test_an_abandoned_publish_frees_the_collection(self, store: OnlineStore) -> None:
        """A publish that fails gives its lease back at once, and what it wrote stays void."""
        published(store, C, {}, ONE)

        def broken() -> Iterator[Change]:
            yield from changes(ONE, TWO)
            raise OSError("the lake went away")

        with pytest.raises(OSError, match="went away"):
            publish(store, C, broken(), target(TWO), writer="w", batch_rows=1)
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO, writer="another")
        assert dict(store.scan(C)) == TWO

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
        with _control_once(other, old), pytest.raises(ConflictError, match="the first publishes generation 2"):
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
        """Whichever step a writer wakes up in, once another took over it stops with the other's name, and flips nothing."""
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
        """Documents that a zombie writes after the other's flip stay invisible, through later publishes and rollbacks."""
        published(store, C, {}, ONE)
        zombie = Publication.begin(store, C, writer="zombie", lease_seconds=0)
        published(store, C, ONE, TWO)
        late = changes(ONE, snapshot({1: 8, 2: 8, 3: 8, 4: 8, 5: 8}))
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.25, 4: 0.4}
        published(store, C, TWO, ONE)
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert seen(store, C, [*ALL, 5]) == {1: 0.1, 2: 0.2, 3: 0.3}
        store.rollback(C)
        store.upsert(C, zombie.generation, zombie.base, zombie.control.void, late)
        assert dict(store.scan(C)) == TWO

    def test_zombies_cannot_bring_a_removed_document_back(self, store: OnlineStore) -> None:
        """Late writes to an entity whose tombstone is gone, by one zombie twice or by two, create a document nobody sees."""
        published(store, C, {}, ONE)
        zombies = [Publication.begin(store, C, writer="zombie", lease_seconds=0) for _ in range(2)]
        published(store, C, ONE, TWO)
        published(store, C, TWO, {1: TWO[1]})
        assert store.remove_tombstones(C, grace_seconds=0) == 1
        for zombie in [zombies[0], zombies[0], zombies[1]]:
            store.upsert(C, zombie.generation, zombie.base, zombie.control.void, [Change(3, ONE[3], "{}")])
            assert seen(store, C, ALL) == {1: 0.1}

    # Rollback

    def test_rollback_is_one_write_and_publishing_goes_on(self, store: OnlineStore) -> None:
        """A rollback shows the previous generation at once, touches no document, and the next publish builds on it."""
        published(store, C, {}, ONE, as_of="day 1")
        published(store, C, ONE, TWO, as_of="day 2")
        documents = list(store.every_document(C))
        control = store.rollback(C)
        assert (control.active, control.previous) == (1, None)
        assert list(store.every_document(C)) == documents
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        three = snapshot({1: 0.5, 3: 0.3})
        report = published(store, C, ONE, three)
        assert report.generation == 3
        assert dict(store.scan(C)) == three
        store.rollback(C)
        assert dict(store.scan(C)) == ONE

    def test_what_was_rolled_back_can_be_published_again(self, store: OnlineStore) -> None:
        """The rolled-back content comes back as a new generation."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        store.rollback(C)
        assert published(store, C, ONE, TWO).generation == 3
        assert dict(store.scan(C)) == TWO

    def test_rollback_without_a_previous_generation(self, store: OnlineStore) -> None:
        """There is no rollback before the second publish, and none after a rollback; the error names the other way."""
        with pytest.raises(StoreError, match="nothing has been published"):
            store.rollback(C)
        published(store, C, {}, ONE)
        with pytest.raises(StoreError, match=r"no previous one.*lake's history"):
            store.rollback(C)
        published(store, C, ONE, TWO)
        store.rollback(C)
        with pytest.raises(StoreError, match="no previous one"):
            store.rollback(C)

    def test_rollback_while_somebody_publishes_or_was_killed(self, store: OnlineStore) -> None:
        """Once documents may have been touched, the previous generation may be gone, so a rollback is refused."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        running = Publication.begin(store, C, writer="somebody")
        with pytest.raises(ConflictError, match="somebody"):
            store.rollback(C)
        running.abandon()
        with pytest.raises(StoreError, match=r"stopped half-way.*lake's history"):
            store.rollback(C)
        assert dict(store.scan(C)) == TWO
        published(store, C, TWO, TWO)
        assert dict(store.scan(C)) == TWO

    # Tombstones

    def test_tombstones_are_kept_while_someone_may_need_them(self, store: OnlineStore) -> None:
        """A tombstone leaves only when active and previous generation both lack the entity, and the flip is old enough."""
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        assert store.remove_tombstones(C, grace_seconds=0) == 0
        store.rollback(C)
        assert store.remove_tombstones(C, grace_seconds=0) == 0
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        published(store, C, ONE, TWO)
        published(store, C, TWO, snapshot({1: 0.1, 2: 0.25}))
        assert store.remove_tombstones(C) == 0
        assert store.remove_tombstones(C, grace_seconds=0) == 1
        assert {document.entity for document in store.every_document(C)} == {1, 2, 4}

    # Everything at once

    def test_readers_see_exactly_one_generation_whatever_happens(self, store_factory: StoreFactory) -> None:
        """After every step of any sequence of publishes, kills, takeovers, late writes and rollbacks, all reads agree."""
        names = map("machine-{}".format, count())
        run_state_machine_as_test(
            lambda: StoreMachine(store_factory, next(names)),
            settings=settings(
                max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


class _control_once:  # noqa: N801
    """Make the next call of `store.control` answer `old`, as if it had been asked a while ago; lists the answers given."""

    def __init__(self, store: OnlineStore, old: Control | None) -> None:
        self._store, self._old = store, old

    def __enter__(self) -> list[Control | None]:
        fresh = self._store.control
        answers: list[Control | None] = []

        def control(collection: str) -> Control | None:
            answers.append(fresh(collection) if answers else self._old)
            return answers[-1]

        self._store.control = control  # type: ignore[method-assign]
        return answers

    def __exit__(self, *_: object) -> None:
        del self._store.control


def _lose(store: OnlineStore, entity: int) -> None:
    """Make the store lose a document, with nothing but primitives: a tombstone that no protocol wrote, then removed."""
    store.upsert(C, 1, None, (), [Change(entity, None, None)])
    assert store.remove(C, 1, ()) == 1
