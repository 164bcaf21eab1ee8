"""Volume: expected rows and the verdict.

Not here: the check on real tables (tests/pipeline/test_monitoring.py).
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.volume import FEWEST_DAYS, judge_volume, volume_among, volume_of

DAY = date(2017, 5, 31)
DEFAULTS = TableChecks()
WEEK = (1000, 1100, 900, 1000, 1200, 2000, 2200)


def past(days: int, wobble: int = 0, day: date = DAY) -> dict[date, int]:
    """Rows of the `days` days before `day`, with a weekly rhythm."""
    return {
        when: WEEK[when.weekday()] + (i * 37 % (2 * wobble + 1)) - wobble
        for i, when in ((i, day - timedelta(days=i)) for i in range(1, days + 1))
    }


@pytest.mark.parametrize(
    ("share", "severity"), [(1.0, "pass"), (0.8, "pass"), (0.7, "warn"), (0.5, "error"), (1.6, "warn"), (2.1, "error")]
)
@pytest.mark.parametrize("wobble", [0, 40])
def test_the_same_weekday_is_what_is_expected(share: float, severity: str, wobble: int) -> None:
    """A day is compared with the same weekday, and a deviation counts when it is both unlikely and large."""
    for back in range(7):
        day = DAY - timedelta(days=back)
        found = volume_of(round(WEEK[day.weekday()] * share), day, past(60, wobble, day))
        assert found.days == 28
        assert judge_volume(found, DEFAULTS) == severity


@pytest.mark.parametrize("days", range(FEWEST_DAYS))
def test_without_history_nothing_is_expected(days: int) -> None:
    """With less than a week before it, a day with rows passes."""
    found = volume_of(1, DAY, past(days))
    assert (found.expected, found.z, judge_volume(found, DEFAULTS)) == (None, 0.0, "pass")


@pytest.mark.parametrize("days", range(FEWEST_DAYS, 28))
def test_few_days_suffice(days: int) -> None:
    """From one week on, a weekend is no alarm and a day with hardly any row is."""
    for back in range(7):
        day = DAY + timedelta(days=back)
        assert judge_volume(volume_of(WEEK[day.weekday()], day, past(days, 20, day)), DEFAULTS) == "pass"
        assert judge_volume(volume_of(10, day, past(days, 20, day)), DEFAULTS) == "error"


def test_later_days_are_not_looked_at() -> None:
    """An old partition made again is judged by the days before it."""
    later = {DAY + timedelta(days=i): 9 for i in range(28)}
    assert volume_of(1000, DAY, {**past(28), **later}) == volume_of(1000, DAY, past(28))


@pytest.mark.parametrize(
    ("may_be_empty", "history", "severity"),
    [(False, 28, "error"), (False, 0, "error"), (True, 28, "warn"), (True, 0, "pass")],
)
def test_no_rows_at_all(may_be_empty: bool, history: int, severity: str) -> None:
    """An empty day is an error, a warning where it may be empty, and nothing where it may and nothing was expected."""
    assert judge_volume(volume_of(0, DAY, past(history)), DEFAULTS, may_be_empty=may_be_empty) == severity


def test_a_handful_of_rows_is_chance() -> None:
    """Where hardly any row is expected, a burst is no alarm."""
    few = {when: i % 7 for i, when in enumerate(past(28))}
    assert judge_volume(volume_of(40, DAY, few), DEFAULTS) == "pass"


@pytest.mark.parametrize(("rows", "severity"), [(1000, "pass"), (1020, "pass"), (500, "error"), (700, "warn")])
def test_a_table_without_days_is_compared_with_itself(rows: int, severity: str) -> None:
    """A snapshot is held against what it was the times before, of which one bad one does not count."""
    assert judge_volume(volume_among(rows, [1000, 3, 1000, 1001, 999, 1000]), DEFAULTS) == severity
    assert judge_volume(volume_among(rows, [1000, 1000]), DEFAULTS) == "pass"


@given(
    st.dictionaries(st.integers(1, 40), st.integers(0, 10**9), max_size=40),
    st.integers(0, 10**9),
)
def test_every_history_has_a_verdict(rows_by_age: dict[int, int], rows: int) -> None:
    """No history breaks it, and more rows never give a lower z."""
    history = {DAY - timedelta(days=age): n for age, n in rows_by_age.items()}
    found, more = volume_of(rows, DAY, history), volume_of(rows + 1 + rows // 2, DAY, history)
    assert judge_volume(found, DEFAULTS) in ("pass", "warn", "error")
    assert more.z >= found.z
