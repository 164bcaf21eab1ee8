"""The arithmetic of moving the year by whole weeks, and the memory of it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.demo import FIRST_DAY, NEWEST_DAY, Shift
from serving_assets.demo.shift import MEMORY
from serving_assets.errors import InputError


@given(st.dates(min_value=NEWEST_DAY, max_value=date(2100, 1, 1)))
def test_a_later_day_is_reached_by_the_fewest_whole_weeks(day: date) -> None:
    """The newest day lands on the day asked for or at most six days after it."""
    assert timedelta(0) <= Shift.reaching(day).newest - day < timedelta(weeks=1)


@given(st.dates(min_value=date(2000, 1, 1), max_value=NEWEST_DAY))
def test_a_day_that_has_data_moves_nothing(day: date) -> None:
    """History is never moved back, so a day up to the newest leaves the original dates."""
    assert Shift.reaching(day) == Shift(0)


@given(st.integers(0, 2000), st.integers(0, 364))
def test_a_moved_day_keeps_its_weekday(weeks: int, n: int) -> None:
    """A Sunday stays a Sunday."""
    day = FIRST_DAY + timedelta(days=n)
    assert Shift(weeks).moved(day).weekday() == day.weekday()


def test_a_shift_is_remembered_where_the_files_are(tmp_path: Path) -> None:
    """Nothing is remembered before the first landing, and afterwards exactly what was landed with."""
    assert Shift.remembered(tmp_path / "landing") is None
    Shift(468).remember(tmp_path / "landing")
    assert Shift.remembered(tmp_path / "landing") == Shift(468)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weeks": null}', '{"weeks": "many"}'])
def test_a_damaged_memory_is_an_error_with_its_mend(tmp_path: Path, text: str) -> None:
    """A memory that cannot be read is reported by its path, never replaced by a guess."""
    (tmp_path / MEMORY).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="Remove the landing folder") as caught:
        Shift.remembered(tmp_path)
    assert str(tmp_path / MEMORY) in str(caught.value)
