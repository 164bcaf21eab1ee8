"""The digest: one number for a set of documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.store import columns_digest, document_digest, total_digest

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
INTS = st.integers(-(2**63), 2**63 - 1)


@given(st.dictionaries(INTS | TEXTS, TEXTS, max_size=5))
def test_the_digest_of_a_set_is_the_sum_of_its_documents(documents: dict[Any, str]) -> None:
    """However documents are put together, in parts, in columns or one by one, their digest is the same."""
    one_by_one = sum(document_digest(entity, text) for entity, text in documents.items()) % 2**64
    assert columns_digest(list(documents), list(documents.values())) == total_digest(documents.items()) == one_by_one


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
    assert document_digest(1, "a") == 15201566949650179872
    assert document_digest("1", "a") == 8733285809965572592
    assert document_digest(-1, "a") == 4875116479388997462
    assert total_digest([]) == 0
