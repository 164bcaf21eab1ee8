"""The records: what they refuse, and the ranges of void generations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving_assets.store import Control
from serving_assets.store.control_record import Ranges, with_void


@given(st.lists(st.integers(1, 30)))
def test_void_ranges_hold_exactly_what_was_added(generations: list[int]) -> None:
    """Ranges hold each generation added and no other, in as few ranges as there are gaps."""
    void: Ranges = ()
    for generation in generations:
        void = with_void(void, generation)
    assert {number for number in range(40) if Control(void=void).is_void(number)} == set(generations)
    assert len(void) == sum(number - 1 not in generations for number in set(generations))
    assert list(void) == sorted(void)
