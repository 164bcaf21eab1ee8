"""The digest: one number for a set of documents, the same in Python and in DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.store import digest_sql, document_digest, total_digest

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
INTS = st.integers(-(2**63), 2**63 - 1)


def _in_duckdb(kind: str, documents: list[tuple[Any, str]]) -> Any:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE documents (entity {kind}, document VARCHAR)")
        if documents:
            connection.executemany("INSERT INTO documents VALUES (?, ?)", documents)
        return connection.execute(f"SELECT {digest_sql('entity', 'document')} FROM documents").fetchall()[0][0]


@pytest.mark.parametrize(("kind", "ids"), [("BIGINT", INTS), ("VARCHAR", TEXTS)])
def test_duckdb_computes_the_same_digest(kind: str, ids: st.SearchStrategy[Any]) -> None:
    """For any integers or texts as ids, and any texts as documents, DuckDB's digest is Python's."""

    @given(st.dictionaries(ids, TEXTS, max_size=5))
    def agree(documents: dict[Any, str]) -> None:
        assert _in_duckdb(kind, list(documents.items())) == total_digest(documents.items())

    agree()


@pytest.mark.parametrize("kind", ["TINYINT", "SMALLINT", "INTEGER", "UINTEGER", "HUGEINT"])
def test_the_width_of_an_integer_does_not_count(kind: str) -> None:
    """An id has one digest, whichever integer type the lake keeps it in."""
    assert _in_duckdb(kind, [(7, "x")]) == document_digest(7, "x")


@given(st.permutations(list(enumerate("abcdef"))))
def test_order_does_not_count(documents: list[tuple[int, str]]) -> None:
    """The digest of a set does not depend on the order it is read in."""
    assert total_digest(documents) == total_digest(enumerate("abcdef"))


@pytest.mark.parametrize(
    "other",
    [[(1, "b"), (2, "a")], [(1, "a")], [(1, "a"), (2, "b"), (3, "")], [("1", "a"), (2, "b")], [(1, "a"), (2, "B")], []],
    ids=str,
)
def test_any_difference_counts(other: list[tuple[Any, str]]) -> None:
    """Swapped texts, a missing or an additional document, and another type of id each change the digest."""
    assert total_digest(other) != total_digest([(1, "a"), (2, "b")])


def test_the_formula_is_fixed() -> None:
    """Digests are stored, so the formula may never change: these are the numbers of the first version."""
    assert document_digest(1, "a") == 16489948899184972093
    assert document_digest("1", "a") == 2809918330487926880
    assert total_digest([]) == 0
