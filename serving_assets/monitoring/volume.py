"""Volume: are there as many rows as expected from previous days?

Here: what to expect of a day, how far from it the day is, and the verdict on both. Not here: counting rows
(pipeline/checks/volume.py).

Rows vary by factors, not by amounts, so all is computed in logarithms. The expectation is the median of the same
weekday; the scale is the median absolute deviation (MAD) of all days from their weekday's median, because the four
Mondays of 28 days alone say little about a spread. A deviation counts when it is both unlikely and large:
on a year of real tills, deviations of five robust standard deviations happen without any fault (docs/checks.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import Severity, above

FEWEST_DAYS = 7
"""Days below which nothing is expected: without a whole week, a weekend looks like a fault."""
FEWEST_TIMES = 3
"""The same for a table without days: one bad time among three does not count."""
FEWEST_ROWS = 20
"""Expected rows below which a day is chance."""
_SAME_WEEKDAYS = 2
_TO_SIGMA = 1.4826
"""A MAD of normal values, times this, is their standard deviation (Hampel 1974)."""
_OF_A_MEDIAN = 1.57
"""Variance of a median of k normal values, times k (pi / 2)."""
_LEAST_SPREAD = 0.05
"""Days that were all alike do not prove that the next one will be: five percent is no surprise."""


@dataclass(frozen=True)
class Volume:
    """One day's rows against what was expected; `z` is in robust standard deviations, 0 where nothing is expected."""

    rows: int
    expected: float | None
    z: float
    days: int

    @property
    def change(self) -> float:
        """Share of the expected rows that is missing (negative) or too much."""
        return self.rows / self.expected - 1 if self.expected else 0.0


def volume_of(rows: int, day: date, history: Mapping[date, int], days: int = 28) -> Volume:
    """Compare `rows` of `day` with the `days` days before it; later days in `history` are not looked at."""
    first = day - timedelta(days=days)
    past = {when: n for when, n in history.items() if first <= when < day}
    if len(past) < FEWEST_DAYS:
        return Volume(rows, None, 0.0, len(past))
    by_weekday: dict[int, list[int]] = {}
    for when, n in past.items():
        by_weekday.setdefault(when.weekday(), []).append(n)
    same = by_weekday.get(day.weekday(), [])
    if len(same) < _SAME_WEEKDAYS:
        whole = list(past.values())
        return _compared(rows, whole, [whole], least_spread=_half_range(whole))
    return _compared(rows, same, list(by_weekday.values()))


def _half_range(rows: list[int]) -> float:
    """Half the farthest that any day was from the middle: in one week the weekend is that far, and no surprise."""
    middle = _log(statistics.median(rows))
    return max(abs(_log(n) - middle) for n in rows) / 2


def volume_among(rows: int, earlier: list[int]) -> Volume:
    """Compare the `rows` of a table that has no days with those it had the times before."""
    return (
        _compared(rows, earlier, [earlier]) if len(earlier) >= FEWEST_TIMES else Volume(rows, None, 0.0, len(earlier))
    )


def _compared(rows: int, same: list[int], groups: list[list[int]], least_spread: float = _LEAST_SPREAD) -> Volume:
    days, expected = sum(map(len, groups)), float(statistics.median(same))
    if expected < FEWEST_ROWS:
        return Volume(rows, None, 0.0, days)
    residuals = [_log(n) - _log(statistics.median(group)) for group in groups for n in group]
    k = len(same)
    spread = _TO_SIGMA * statistics.median(map(abs, residuals)) * math.sqrt(k / (k - 1) * (1 + _OF_A_MEDIAN / k))
    by_chance = math.hypot(max(least_spread, _LEAST_SPREAD), 1 / math.sqrt(expected))
    return Volume(rows, expected, (_log(rows) - _log(expected)) / max(spread, by_chance), days)


def _log(rows: float) -> float:
    return math.log(rows + 0.5)


def judge_volume(found: Volume, thresholds: TableChecks, *, may_be_empty: bool = False) -> Severity:
    """An empty table is an error, where that may happen a warning if rows were expected; else unlikely and large."""
    if found.rows == 0:
        return "error" if not may_be_empty else "warn" if found.expected else "pass"
    if found.expected is None or abs(found.z) < thresholds.volume_z:
        return "pass"
    if found.change < 0:
        return above(-found.change, thresholds.volume_warn, thresholds.volume_error)
    return above(found.change, thresholds.rise_warn, thresholds.rise_error)
