"""Volume: are there as many rows as expected from previous days?

Here: what to expect of a day, how far from it the day is, and the verdict on both. Not here: counting rows
(pipeline/checks/volume.py).

Rows vary by factors, not by amounts, so all is computed in logarithms. The expectation is the median of the same
weekday, moved along the table's own trend. Two spreads come from the distances of all days from their weekday's
median: the usual one (median absolute deviation, MAD) and the wide one (95th percentile), which the table's unusual
days make wider. A warning needs a deviation that the usual spread makes unlikely, an error one that the wide spread
does, and both must be large: so the thresholds follow the size and the spread of each table. docs/checks.md has what
was measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import Severity, above

FEWEST_DAYS = 7
"""Days below which nothing is expected: without a whole week, a weekend looks like a fault."""
FEWEST_TIMES = 3
"""The same for a table without days: one bad time among three does not count."""
FEWEST_ROWS = 20
"""Expected rows below which a day is chance."""
WINDOW = 56
"""Days that a day is compared with: eight of each weekday."""
_SAME_WEEKDAYS = 2
_TREND_DAYS = 14
"""Pairs of days a week apart below which a trend is chance."""
_SETTLED_DAYS = 28
"""Known days from which on a table that was never empty is not expected to be."""
_A_FEW = 3
"""Rows of a day that make one without any no surprise."""
_TO_SIGMA = 1.4826
"""A MAD of normal values, times this, is their standard deviation (Hampel 1974)."""
_TAIL, _TAIL_TO_SIGMA = 0.95, 1 / 1.96
"""The quantile of absolute deviations that sets the wide spread, and what makes it a standard deviation if normal."""
_OF_A_MEDIAN = 1.57
"""Variance of a median of k normal values, times k (pi / 2)."""
_TREND_Z = 2.0
"""Standard errors from which on a weekly growth is a trend; below it is left out, because it adds noise."""
_LEAST_SPREAD = 0.05
"""Days that were all alike do not prove that the next one will be: five percent is no surprise."""

Emptiness = Literal["never", "before", "usual", "unknown"]


@dataclass(frozen=True)
class Volume:
    """One day's rows against what was expected.

    Attributes:
        expected: None where nothing is expected: too few days are known, or too few rows.
        z: the deviation in usual standard deviations, 0 where nothing is expected.
        wide_z: the same by the wide spread, never farther from 0 than `z`.
        days: the days that the expectation comes from.
        empty: whether no rows are `usual` on such a weekday; whether the table had none or a few `before`, or `never`;
            `unknown` from too few days.
    """

    rows: int
    expected: float | None
    z: float
    wide_z: float
    days: int
    empty: Emptiness = "unknown"

    @property
    def change(self) -> float:
        """Share of the expected rows that is missing (negative) or too much."""
        return self.rows / self.expected - 1 if self.expected else 0.0


def volume_of(rows: int, day: date, history: Mapping[date, int], days: int = WINDOW) -> Volume:
    """Compare `rows` of `day` with the `days` days before it; later days in `history` are not looked at.

    Args:
        rows: the rows of `day`.
        day: the day that is judged.
        history: rows by day, 0 for a day that was made and had none; a day that is absent was not made.
        days: how many days before `day` are looked at.
    """
    past = {when: n for when, n in history.items() if timedelta(0) < day - when <= timedelta(days=days)}
    same = [n for when, n in past.items() if when.weekday() == day.weekday()]
    if len(past) < FEWEST_DAYS:
        return _unexpected(rows, len(past))
    if len(same) >= _SAME_WEEKDAYS and 2 * same.count(0) > len(same):
        return _unexpected(rows, len(past), "usual")
    known = _open_days(past)
    empty = _emptiness(known, len(past))
    if len(same) < _SAME_WEEKDAYS:
        whole = [n for n in known.values() if n]
        if not whole:
            return _unexpected(rows, len(past), empty)
        return _compared(rows, whole, [whole], len(past), empty, least_spread=_half_range(whole))
    growth = _growth(known)
    moved = {when: _log(n) + growth * (day - when).days for when, n in known.items()}
    groups = [[moved[when] for when in known if when.weekday() == weekday] for weekday in range(7)]
    return _compared_logs(rows, groups[day.weekday()], [g for g in groups if g], len(past), empty)


def volume_among(rows: int, earlier: list[int]) -> Volume:
    """Compare the `rows` of a table that has no days with those it had the times before."""
    if len(earlier) < FEWEST_TIMES:
        return _unexpected(rows, len(earlier), "before" if 0 in earlier else "unknown")
    return _compared(rows, earlier, [earlier], len(earlier), "before" if 0 in earlier else "never")


def judge_volume(found: Volume, thresholds: TableChecks, *, may_be_empty: bool = False) -> Severity:
    """A deviation counts when it is unlikely and large; see `_judge_empty` for a table without rows."""
    if found.rows == 0:
        return _judge_empty(found, thresholds, may_be_empty=may_be_empty)
    if found.expected is None:
        return "pass"
    if found.change < 0:
        size, warn, error = -found.change, thresholds.volume_warn, thresholds.volume_error
    else:
        size, warn, error = found.change, thresholds.rise_warn, thresholds.rise_error
    if abs(found.wide_z) >= thresholds.volume_z and above(size, warn, error) == "error":
        return "error"
    return "warn" if abs(found.z) >= thresholds.volume_z_warn and size >= warn else "pass"


def _judge_empty(found: Volume, thresholds: TableChecks, *, may_be_empty: bool) -> Severity:
    """No rows: nothing where that is usual on the weekday, an error where rows were certain, else a warning."""
    if found.empty == "usual":
        return "pass"
    if may_be_empty:
        return "warn" if found.expected else "pass"
    certain = found.expected is not None and abs(found.wide_z) >= thresholds.volume_z
    return "error" if found.days == 0 or found.empty == "never" or certain else "warn"


def _unexpected(rows: int, days: int, empty: Emptiness = "unknown") -> Volume:
    return Volume(rows, None, 0.0, 0.0, days, empty)


def _open_days(past: Mapping[date, int]) -> dict[date, int]:
    """The days of weekdays that are not usually empty."""
    by_weekday: dict[int, list[int]] = {}
    for when, n in past.items():
        by_weekday.setdefault(when.weekday(), []).append(n)
    closed = {weekday for weekday, rows in by_weekday.items() if 2 * rows.count(0) > len(rows)}
    return {when: n for when, n in past.items() if when.weekday() not in closed}


def _emptiness(known: Mapping[date, int], days: int) -> Emptiness:
    if min(known.values(), default=0) <= _A_FEW:
        return "before"
    return "never" if days >= _SETTLED_DAYS else "unknown"


def _growth(known: Mapping[date, int]) -> float:
    """The table's growth a day, in logarithms: the median change over a week, where it is no chance (Theil 1950)."""
    week = timedelta(days=7)
    changes = [_log(n) - _log(known[when - week]) for when, n in known.items() if when - week in known]
    if len(changes) < _TREND_DAYS:
        return 0.0
    middle = statistics.median(changes)
    error = _mad(change - middle for change in changes) * math.sqrt(_OF_A_MEDIAN / len(changes))
    return middle / 7 if abs(middle) > _TREND_Z * error else 0.0


def _half_range(rows: Sequence[int]) -> float:
    """Half the farthest that any day was from the middle: in one week the weekend is that far, and no surprise."""
    middle = _log(statistics.median(rows))
    return max(abs(_log(n) - middle) for n in rows) / 2


def _compared(
    rows: int,
    same: Sequence[int],
    groups: Sequence[Sequence[int]],
    days: int,
    empty: Emptiness,
    least_spread: float = _LEAST_SPREAD,
) -> Volume:
    logs = [[_log(n) for n in group] for group in groups]
    return _compared_logs(rows, [_log(n) for n in same], logs, days, empty, least_spread)


def _compared_logs(
    rows: int,
    same: Sequence[float],
    groups: Sequence[Sequence[float]],
    days: int,
    empty: Emptiness,
    least_spread: float = _LEAST_SPREAD,
) -> Volume:
    """Compare with the median of `same`; the spread is that of all `groups` around their medians (log rows)."""
    middle, k = statistics.median(same), len(same)
    expected = math.exp(middle) - 0.5
    if expected < FEWEST_ROWS:
        return _unexpected(rows, days, empty)
    distances = sorted(abs(n - statistics.median(group)) for group in groups for n in group)
    of_a_new_day = math.sqrt(k / (k - 1) * (1 + _OF_A_MEDIAN / k))
    by_chance = math.hypot(max(least_spread, _LEAST_SPREAD), 1 / math.sqrt(expected))
    usual = max(_mad(distances) * of_a_new_day, by_chance)
    one_bad_time_left_out = max(len(distances) - 2, 0)
    tail = distances[min(math.ceil(_TAIL * len(distances)) - 1, one_bad_time_left_out)]
    wide = max(usual, tail * _TAIL_TO_SIGMA * of_a_new_day)
    deviation = _log(rows) - middle
    return Volume(rows, expected, deviation / usual, deviation / wide, days, empty)


def _mad(distances: Iterable[float]) -> float:
    return _TO_SIGMA * statistics.median(map(abs, distances))


def _log(rows: float) -> float:
    return math.log(rows + 0.5)
