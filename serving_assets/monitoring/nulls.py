"""Null rates: is a feature as often missing as in the training set?

Here: the comparison with the reference profile. Not here: counting (monitoring/distributions.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from serving_assets.catalog.checks import Checks
from serving_assets.monitoring.distributions import Distribution
from serving_assets.monitoring.drift import WANDERING
from serving_assets.monitoring.severity import Severity, above

_Z = 3.0
"""Standard errors that a small table may be off by chance."""


@dataclass(frozen=True)
class NullRate:
    """How often a feature is missing now and in the training set."""

    column: str
    rate: float
    reference: float
    rows: int
    wander: float = 0.0

    @property
    def points(self) -> float:
        """Difference of the two, as a share; positive: more are missing."""
        return self.rate - self.reference

    @property
    def excess(self) -> float:
        """Points beyond twice what the worst single day of the training set did by itself, whichever way."""
        return max(abs(self.points) - WANDERING * self.wander, 0.0)

    def severity(self, thresholds: Checks) -> Severity:
        """Fewer missing values than ever is at most a warning: a source was repaired, or fills in made-up values."""
        expected = min(max(self.reference, 1 / max(self.rows, 1)), 0.5)
        by_chance = _Z * math.sqrt(expected * (1 - expected) / max(self.rows, 1))
        if abs(self.points) <= by_chance:
            return "pass"
        found = above(self.excess, thresholds.null_warn, thresholds.null_error)
        return "warn" if found == "error" and self.points < 0 else found


def null_rates(found: Mapping[str, Distribution]) -> list[NullRate]:
    """Each feature's null rate, the farthest from its reference first."""
    rates = [
        NullRate(name, d.missing / d.rows, d.reference.null_rate, d.rows, d.reference.wander.nulls)
        for name, d in found.items()
        if d.rows
    ]
    return sorted(rates, key=lambda rate: (-rate.excess, -abs(rate.points)))
