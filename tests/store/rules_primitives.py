"""What each primitive of any online store does to a document in any state.

Here: one primitive at a time, on documents put there with primitives. Not here: what they add up to (the other rules).
"""

from __future__ import annotations

import pytest

from serving_assets.store import Control, Document, DocumentChange, OnlineStore
from tests.store.rules import C, Rules

OLD = (1, 3, "cur", 2, "prev")
"""A document that generation 3 wrote over generation 2."""


class PrimitiveRules(Rules):
    """Part of StoreConformance."""

    @pytest.fixture
    def primed(self, store: OnlineStore) -> OnlineStore:
        """A store whose only document is OLD."""
        assert store.swap(C, 0, Control(revision=1))
        store.upsert(C, 2, None, (), [DocumentChange(1, None, "prev")])
        store.upsert(C, 3, 2, (), [DocumentChange(1, None, "cur")])
        assert _stored(store) == {OLD}
        return store

    def test_swap_compares_and_sets(self, primed: OnlineStore) -> None:
        """A control record is replaced only by whoever knows its revision, and only the first creates it."""
        assert not primed.swap(C, 0, Control(revision=1, taken=7))
        assert not primed.swap(C, 2, Control(revision=3, taken=7))
        assert primed.control(C) == Control(revision=1)
        assert primed.swap(C, 1, Control(revision=2, taken=5))
        assert primed.control(C) == Control(revision=2, taken=5)

    @pytest.mark.parametrize(
        ("generation", "base", "void", "expected"),
        [
            (5, 4, (), (5, "new", 4, "cur")),
            (5, 3, (), (5, "new", 3, "cur")),
            (5, 2, (), (5, "new", 2, "prev")),
            (5, 4, ((3, 3),), (5, "new", 4, "prev")),
            (5, 4, ((1, 2),), (5, "new", 4, "cur")),
            (3, 2, (), (3, "new", 2, "prev")),
            (2, 1, (), (3, "cur", 2, "prev")),
            (5, None, (), (5, "new", None, None)),
        ],
    )
    def test_upsert(
        self,
        primed: OnlineStore,
        generation: int,
        base: int | None,
        void: tuple[tuple[int, int], ...],
        expected: tuple[object, ...],
    ) -> None:
        """An upsert keeps what the document says at the base, whatever the writer believes, and spares the newer."""
        primed.upsert(C, generation, base, void, [DocumentChange(1, "what the writer believes", "new")])
        assert _stored(primed) == {(1, *expected)}

    @pytest.mark.parametrize("text", ["cur", None])
    def test_what_a_generation_wrote_is_written_again_without_a_base(
        self, primed: OnlineStore, text: str | None
    ) -> None:
        """An erasure empties the previous slot, also where the current one says already what it shall."""
        primed.upsert(C, 3, 2, (), [DocumentChange(1, "cur", text)])
        primed.upsert(C, 3, None, (), [DocumentChange(1, None, text)])
        assert _stored(primed) == {(1, 3, text, None, None)}

    @pytest.mark.parametrize(("base", "prev_g"), [(4, 4), (None, None)])
    def test_upsert_creates(self, primed: OnlineStore, base: int | None, prev_g: int | None) -> None:
        """A document that does not exist is created without a past, whatever the writer believes."""
        primed.upsert(C, 5, base, (), [DocumentChange(2, "what the writer believes", "new")])
        assert _stored(primed) == {OLD, (2, 5, "new", prev_g, None)}

    @pytest.mark.parametrize(
        ("generation", "base", "void", "expected"),
        [
            (5, 2, (), (5, "prev", 2, "prev")),
            (5, 3, (), OLD[1:]),
            (5, 4, (), OLD[1:]),
            (3, 2, (), OLD[1:]),
            (5, 4, ((3, 3),), (5, "prev", 4, "prev")),
            (5, 4, ((1, 2), (4, 4)), OLD[1:]),
            (5, None, (), (5, None, None, None)),
        ],
    )
    def test_settle(
        self,
        primed: OnlineStore,
        generation: int,
        base: int | None,
        void: tuple[tuple[int, int], ...],
        expected: tuple[object, ...],
    ) -> None:
        """Settling puts exactly the documents right that void or unfinished generations wrote."""
        assert primed.settle(C, generation, base, void) == (expected != OLD[1:])
        assert _stored(primed) == {(1, *expected)}

    @pytest.mark.parametrize(
        ("base", "void", "expected"),
        [
            (4, (), (5, None, 4, "cur")),
            (3, (), (5, None, 3, "cur")),
            (2, (), OLD[1:]),
            (4, ((3, 3),), OLD[1:]),
            (None, (), OLD[1:]),
        ],
    )
    def test_clear(
        self,
        primed: OnlineStore,
        base: int | None,
        void: tuple[tuple[int, int], ...],
        expected: tuple[object, ...],
    ) -> None:
        """Clearing makes tombstones of exactly the documents that a reader of the base sees in `cur`."""
        assert primed.clear(C, 5, base, void) == (expected != OLD[1:])
        assert primed.clear(C, 5, base, void) == 0
        assert _stored(primed) == {(1, *expected)}

    @pytest.mark.parametrize(
        ("cur", "prev", "void", "counted"),
        [
            ("x", "x", (), 2),
            (None, "x", (), 1),
            ("x", None, (), 2),
            ("x", None, ((4, 4),), 1),
            (None, "x", ((4, 4),), 2),
        ],
    )
    def test_count(
        self, primed: OnlineStore, cur: str | None, prev: str | None, void: tuple[tuple[int, int], ...], counted: int
    ) -> None:
        """A count takes of each document the slot that a reader would take, and no tombstones."""
        primed.upsert(C, 2, None, (), [DocumentChange(2, None, prev)])
        primed.upsert(C, 4, 3, (), [DocumentChange(2, None, cur)])
        assert primed.count(C, 5, void) == counted

    @pytest.mark.parametrize(
        ("newest", "void", "removed"), [(4, (), 1), (3, (), 0), (9, (), 1), (9, ((4, 4),), 0), (9, ((1, 3),), 1)]
    )
    def test_remove(self, primed: OnlineStore, newest: int, void: tuple[tuple[int, int], ...], removed: int) -> None:
        """Only tombstones of generations that are old enough and not void are removed, and no other document."""
        primed.upsert(C, 4, 3, (), [DocumentChange(2, None, None)])
        assert primed.remove(C, newest, void) == removed
        assert _stored(primed) == {OLD} | ({(2, 4, None, 3, None)} if not removed else set())


def _stored(store: OnlineStore) -> set[tuple[object, ...]]:
    documents = list(store.every_document(C))
    assert all(isinstance(document, Document) for document in documents)
    assert store.documents(C, [document.entity for document in documents]) == {d.entity: d for d in documents}
    return {tuple(document) for document in documents}
