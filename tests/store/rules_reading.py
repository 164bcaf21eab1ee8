"""What a reader of any online store is promised.

Here: reads of what is published, also by a reader that was overtaken. Not here: what writers are promised.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from serving_assets.errors import InputError
from serving_assets.store import DocumentChange, OnlineStore, Publication, StoreError, publish, read, rollback, scan
from serving_assets.store.read import ATTEMPTS
from tests.store.rules import ALL, ONE, TWO, C, Rules, StoreFactory, control_once
from tests.store.snapshots import changes, published, seen, snapshot, target


class ReadingRules(Rules):
    """Part of StoreConformance."""

    def test_nothing_published(self, store: OnlineStore) -> None:
        """Before the first publish every entity is absent, and there is nothing to scan."""
        reading = read(store, C, [1, "a"])
        assert (reading.control, reading.values) == (None, [None, None])
        assert list(scan(store, C)) == []
        assert store.collections() == []

    def test_answers_in_the_order_of_the_question(self, store: OnlineStore) -> None:
        """A read answers each id in its place, a repeated one as often as it is asked for, an unknown one with None."""
        published(store, C, {}, ONE)
        found = read(store, C, [3, 9, 1, 3]).values
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
        assert list(scan(store, C)) == list(snapshot({entity: 1}).items())
        assert seen(store, C, [entity]) == {entity: 1}

    @pytest.mark.parametrize("entity", [True, 1.0, None, 2**63, "\ud800", b"1"])
    def test_unusable_ids_are_refused(self, store: OnlineStore, entity: Any) -> None:
        """An id that no store can keep apart from others is refused by reads and publishes alike."""
        published(store, C, {}, ONE)
        with pytest.raises(InputError, match="entity id"):
            read(store, C, [entity])
        with pytest.raises(InputError, match="entity id"):
            publish(store, C, [DocumentChange(entity, None, "{}")], target(TWO), writer="w")
        assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_values_say_where_they_come_from(self, store: OnlineStore) -> None:
        """What a document leaves out about its run is the generation's."""
        own = json.dumps({"v": {"score": 2}, "as_of": "day 0", "model_version": "2"})
        published(store, C, {}, {**snapshot({1: 1}), 2: own}, as_of="day 1")
        inherits, carries = read(store, C, [1, 2]).values
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
        with control_once(behind, old) as asked:
            reading = read(behind, C, [2])
        assert reading.control and reading.control.active == 3
        assert [value and value.value for value in reading.values] == [{"score": 0.9}]
        assert asked == [old, reading.control]

    def test_a_reader_that_is_overtaken_once_finds_its_generation(self, store_factory: StoreFactory) -> None:
        """One publish after a reader learned the active generation leaves that generation readable."""
        store, behind = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        old = behind.control(C)
        published(store, C, ONE, TWO)
        with control_once(behind, old):
            assert seen(behind, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_a_reader_behind_a_rollback_never_mixes(self, store_factory: StoreFactory) -> None:
        """After a rollback and the start of another publish, a reader of the rolled-back generation must read again."""
        store, behind = store_factory("main"), store_factory("main")
        published(store, C, {}, ONE)
        published(store, C, ONE, TWO)
        rolled_back = behind.control(C)
        rollback(store, C)
        Publication.begin(store, C, writer="w").write(changes(ONE, snapshot({1: 0.1, 2: 0.7, 3: 0.3})))
        with control_once(behind, rolled_back):
            assert seen(behind, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}

    def test_damage_is_not_an_endless_loop(self, store: OnlineStore) -> None:
        """Documents that belong to no generation end a read with an error that names the fix."""
        published(store, C, {}, ONE)
        store.upsert(C, 9, 8, (), [DocumentChange(1, None, ONE[1])])
        with pytest.raises(StoreError, match=f"{ATTEMPTS} reads in a row.*rewrite"):
            read(store, C, [1])

    @pytest.mark.parametrize("damaged", ["", "{", "[]", "1", '{"as_of": "x"}'])
    def test_a_damaged_document_is_an_error(self, store: OnlineStore, damaged: str) -> None:
        """A document that is not what was published is reported, never served."""
        published(store, C, {}, {1: damaged})
        with pytest.raises(StoreError, match="damaged"):
            read(store, C, [1])
