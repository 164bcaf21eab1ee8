"""Rules of messages: they are short, however long the list that they tell of."""

from __future__ import annotations

from serving_assets.errors import LONGEST, InputError, listed


def test_a_list_is_cut_and_counted() -> None:
    """The first five are named, and how many more there are."""
    assert listed([]) == "none"
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed((n for n in range(1_234)), 2) == "0, 1 and 1,232 more"


def test_a_message_is_capped() -> None:
    """A message goes into alerts: it is cut at 2,000 characters, its hint is not lost."""
    error = InputError("x" * 25_000, hint="Do this.")
    assert len(error.message) == LONGEST
    assert str(error).endswith("... Do this.")
    assert InputError("y" * LONGEST).message == "y" * LONGEST
