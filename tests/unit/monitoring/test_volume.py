"""Volume: expected rows and the verdict.

Not here: the check on real tables (tests/pipeline/test_monitoring.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.volume import FEWEST_DAYS, WINDOW, judge_volume, volume_among, volume_of

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
        assert found.days == WINDOW
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


RHYTHMS: dict[str, Callable[[int, date], float]] = {
    "fifty rows a day": lambda _, day: WEEK[day.weekday()] / 27,
    "closed on Sundays": lambda _, day: 0.0 if day.weekday() == 6 else WEEK[day.weekday()] / 5,
    "doubles in a month": lambda age, day: WEEK[day.weekday()] / 10 * 2 ** (age / 30),
    "halves in a month": lambda age, day: WEEK[day.weekday()] * 10 * 2 ** (-age / 30),
}


def lived(rhythm: Callable[[int, date], float], seed: int, days: int = 240) -> dict[date, int]:
    """Rows of so many days in a row: Poisson counts whose rate itself varies by a tenth."""
    rng = np.random.default_rng(seed)
    first = DAY - timedelta(days=days - 1)
    rates = {first + timedelta(days=age): rhythm(age, first + timedelta(days=age)) for age in range(days)}
    return {day: int(rng.poisson(rng.gamma(100, rate / 100))) if rate else 0 for day, rate in rates.items()}


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_thresholds_follow_the_table(rhythm: str) -> None:
    """From its second week on, at most 1 % of a table's own days are errors, and 75 % of halved days are reported."""
    errors = halves = reported = days = 0
    for seed in range(6):
        rows = lived(RHYTHMS[rhythm], seed)
        for day in sorted(rows)[7:]:
            days += 1
            errors += judge_volume(volume_of(rows[day], day, rows), DEFAULTS) == "error"
            if rows[day]:
                halves += 1
                reported += judge_volume(volume_of(rows[day] // 2, day, rows), DEFAULTS) != "pass"
    assert errors <= 0.01 * days
    assert reported >= 0.75 * halves


def test_a_spread_of_its_own_makes_a_table_tolerant() -> None:
    """A shop whose days vary by half is not refused for a day of +178 %; one whose days are alike is."""
    rng = np.random.default_rng(4)
    wild = {DAY - timedelta(days=age): int(76 * math.exp(0.6 * rng.standard_normal())) for age in range(1, 57)}
    calm = {DAY - timedelta(days=age): 76 + age % 5 for age in range(1, 57)}
    assert judge_volume(volume_of(213, DAY, wild), DEFAULTS) != "error"
    assert judge_volume(volume_of(213, DAY, calm), DEFAULTS) == "error"


@pytest.mark.parametrize(
    ("rows_of", "severity"),
    [
        (lambda day: 0 if day.weekday() == DAY.weekday() else 100, "pass"),
        (lambda day: 0 if day.day == 3 else 10, "warn"),
        (lambda day: 10, "error"),
        (lambda day: 0 if day.day == 3 else 1000, "error"),
    ],
)
def test_an_empty_day_is_judged_by_the_rhythm(rows_of: Callable[[date], int], severity: str) -> None:
    """No rows pass on a closed weekday, warn where few or none are usual, and are an error where rows are certain."""
    history = {day: rows_of(day) for day in (DAY - timedelta(days=age) for age in range(1, 57))}
    assert judge_volume(volume_of(0, DAY, history), DEFAULTS) == severity


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
