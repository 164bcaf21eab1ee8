"""Totals: has a part of a day been lost, such as a department, a channel or a column?

Here: what to expect of a day's total of each column, and the verdict on one that is missing. Not here: adding rows up
(pipeline/checks/totals.py), or days that are short of rows, which volume.py judges.

The count of rows hides that a tenth of them is missing when these are all of one department; its own total shows it. It
is held against the same weekday as rows are, and counts only as far as it has fallen farther than the rows have: on a
holiday all totals fall together. Rises are not judged: a sale of one department is no fault, and a changed unit is seen
by typical_amounts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import Severity, above
from serving_assets.monitoring.volume import Volume, volume_of


class Amount(NamedTuple):
    """What a column adds up to on a day, and from how many rows: those with another value than zero."""

    total: float
    rows: int


@dataclass(frozen=True)
class ColumnTotal:
    """One column's total of one day; `volume` has it against what was expected, `rows` the day's rows likewise."""

    column: str
    volume: Volume
    rows: Volume

    @property
    def lost(self) -> float:
        """The share that is missing beyond the share of rows that is; 0 where none is."""
        if not self.volume.expected:
            return 0.0
        return max(0.0, 1 - (1 + self.volume.change) / max(1 + self.rows.change, 1e-9))

    def severity(self, thresholds: TableChecks) -> Severity:
        """A loss counts when it is unlikely and large; a day without rows is not judged."""
        if self.rows.rows == 0 or self.volume.wide_z > -thresholds.volume_z:
            return "pass"
        return above(self.lost, thresholds.total_warn, thresholds.total_error)


def totals_of(
    day: date, amounts: Mapping[date, Mapping[str, Amount]], rows: Mapping[date, int], days: int
) -> list[ColumnTotal]:
    """Each column's total of `day` against those of the `days` days before it, the largest loss first.

    Args:
        day: the day that is judged; it must be among `amounts`.
        amounts: what each column adds up to, by day.
        rows: rows by day.
        days: how many days before it are looked at; of small totals, and of those of few rows, nothing is expected.
    """
    volume = volume_of(rows.get(day, 0), day, rows, days)
    found = []
    for column, amount in amounts[day].items():
        history = {when: of_day[column] for when, of_day in amounts.items() if column in of_day}
        counted = volume_of(amount.rows, day, {when: past.rows for when, past in history.items()}, days)
        total = volume_of(round(amount.total), day, {when: round(past.total) for when, past in history.items()}, days)
        found.append(
            ColumnTotal(
                column, replace(total, expected=None, z=0.0, wide_z=0.0) if counted.expected is None else total, volume
            )
        )
    return sorted(found, key=lambda each: -each.lost)
