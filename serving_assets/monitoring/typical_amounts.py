"""Typical amounts: is an amount as large as on previous days, or has its unit changed?

Here: the comparison of one column's typical amount with those of earlier days. Not here: computing it from rows
(pipeline/checks/typical_amounts.py).

A typical amount is the median of the values that are not zero: half of the rows must change before it moves, so on a
year of real tills it stays close to that of the days before, while cents for euros is a factor of 100.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import Severity, above

FEWEST_DAYS = 5
FEWEST_VALUES = 50
"""Values below which a median is chance."""


@dataclass(frozen=True)
class Level:
    """One column's typical amount against the median of those before; `factor` is 1 or more, whichever way it went."""

    column: str
    typical: float
    before: float

    @property
    def factor(self) -> float:
        """How many times larger or smaller it is."""
        if not self.before * self.typical > 0:
            return float("inf")  # the sign has changed
        ratio = self.typical / self.before
        return max(ratio, 1 / ratio)

    def severity(self, thresholds: TableChecks) -> Severity:
        """What the factor means."""
        return above(self.factor, thresholds.level_warn, thresholds.level_error)


def levels_of(typical: Mapping[str, float], history: Sequence[Mapping[str, float]]) -> list[Level]:
    """Each column's level, largest factor first; without enough earlier days a column is left out.

    Args:
        typical: each column's typical amount; those with fewer than FEWEST_VALUES values are to be left out.
        history: the same of earlier days.
    """
    found = []
    for column, value in typical.items():
        before = [day[column] for day in history if column in day]
        if len(before) >= FEWEST_DAYS:
            found.append(Level(column, value, statistics.median(before)))
    return sorted(found, key=lambda level: -level.factor)
