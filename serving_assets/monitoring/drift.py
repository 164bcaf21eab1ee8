"""Drift: does a column look as it did when the model was made?

Here: how far a distribution has moved from its reference, whether chance can have done it, and the verdict on both. Not
here: counting the rows (distributions.py).

A fixed threshold of the population stability index (PSI) misfires on small tables, because its mean without any drift
is (1/n + 1/m) (bins - 1); and it sleeps through a shift of 0.2 standard deviations, which is a PSI of 0.04. So there
are two sizes of a drift, the PSI for any change of shape and the shift in standard deviations for a move as a whole,
and either counts only beyond chance (chance.py) and beyond twice what the worst single day of the training set did by
itself. All columns of a table share one level, so a table gives a false alarm as rarely as a column would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving_assets.catalog.checks import Checks
from serving_assets.models.profile import Categories, Wander, psi, shift
from serving_assets.monitoring.chance import each_of, p_value
from serving_assets.monitoring.distributions import Distribution
from serving_assets.monitoring.severity import Severity

WANDERING = 2.0
"""How many times farther than any day of the training set a day must be."""
FEWEST_VALUES = 10
"""Fewest values that count as constant."""


@dataclass(frozen=True)
class Drift:
    """How far one column has moved; `p` is None where values are too few for a test, `level` is what it is held to."""

    column: str
    psi: float
    shift: float
    p: float | None
    level: float
    constant: bool
    wander: Wander

    @property
    def significant(self) -> bool:
        """Whether chance is ruled out."""
        return self.p is not None and self.p < self.level

    @property
    def excess(self) -> float:
        """The PSI beyond what single days did by themselves."""
        return max(self.psi - WANDERING * self.wander.psi, 0.0)

    @property
    def excess_shift(self) -> float:
        """The shift beyond what single days did by themselves, whichever way."""
        return max(abs(self.shift) - WANDERING * self.wander.shift, 0.0)

    def severity(self, thresholds: Checks) -> Severity:
        """A significant drift warns from either size on, and is an error from `psi_error` on."""
        if not self.significant:
            return "pass"
        if self.excess >= thresholds.psi_error:
            return "error"
        large = self.excess >= thresholds.psi_warn or self.excess_shift >= thresholds.shift_warn
        return "warn" if large else "pass"


def drifts(found: Mapping[str, Distribution], alpha: float) -> list[Drift]:
    """Each column's drift, the farthest beyond its own wandering first; one that is empty now or was then is left out.

    Args:
        found: the columns of one table.
        alpha: chance of a false alarm for all of them together.
    """
    present = {name: d for name, d in found.items() if d.counts.sum() and d.reference_counts.sum()}
    level = each_of(alpha, len(present))
    drifted = [_drift(name, distribution, level) for name, distribution in present.items()]
    return sorted(drifted, key=lambda d: (not d.significant, -d.excess, -d.excess_shift))


def _drift(name: str, found: Distribution, level: float) -> Drift:
    reference, counts = found.reference_counts, found.counts
    return Drift(
        column=name,
        psi=psi(reference, counts),
        shift=0.0 if isinstance(found.reference, Categories) else shift(reference, counts),
        p=p_value(reference, counts, level),
        level=level,
        constant=found.constant and int(counts.sum()) >= FEWEST_VALUES,
        wander=found.reference.wander,
    )
