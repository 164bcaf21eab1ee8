"""Quality: how good predictions were, now that it is known what happened.

Here: AUC and calibration with their intervals, over all rows and by segment, and the verdict against the days that were
held out in training. Not here: finding the labels (pipeline/checks/quality.py).

The interval is in closed form (DeLong et al. 1988): a bootstrap of a million rows every night would cost more than the
predictions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serving_assets.catalog.checks import Checks
from serving_assets.models.evaluation import Estimate, HeldOut, auc_estimate, bias_estimate
from serving_assets.monitoring.severity import Severity, above, worst

Z = 1.96
"""Half the width of a 95 % interval, in standard errors."""
FEWEST = 30
"""Rows of either label below which an AUC is not computed."""


@dataclass(frozen=True)
class Quality:
    """How good the predictions of some rows were; `auc` is None where either label is rare."""

    rows: int
    positives: int
    mean_score: float
    auc: Estimate | None
    bias: Estimate

    @property
    def base_rate(self) -> float:
        """Share of rows with label 1."""
        return self.positives / self.rows


def quality_of(labels: np.ndarray, scores: np.ndarray) -> Quality:
    """Measure rows of different entities: labels 0 or 1, (rows,), scores as probabilities, (rows,)."""
    positives = int(labels.sum())
    enough = min(positives, len(labels) - positives) >= FEWEST
    return Quality(
        rows=len(labels),
        positives=positives,
        mean_score=float(scores.mean()),
        auc=auc_estimate(labels, scores) if enough else None,
        bias=bias_estimate(labels, scores),
    )


def by_segment(labels: np.ndarray, scores: np.ndarray, segments: np.ndarray) -> dict[str, Quality]:
    """The quality of each segment, largest first; `segments` has the name of each row's, (rows,)."""
    names, index = np.unique(segments.astype(str), return_inverse=True)
    found = {str(name): quality_of(labels[index == i], scores[index == i]) for i, name in enumerate(names)}
    return dict(sorted(found.items(), key=lambda item: -item[1].rows))


@dataclass(frozen=True)
class Loss:
    """Points lost against the held-out days; `least` is the lower end of the interval: what is lost for certain."""

    points: float
    least: float

    def severity(self, thresholds: Checks) -> Severity:
        """A loss counts when the interval leaves no room for less."""
        return above(self.least, thresholds.quality_warn, thresholds.quality_error)


def losses(found: Quality, reference: HeldOut) -> Mapping[str, Loss]:
    """What ranking and calibration have lost. Both sides are estimates of different rows, so their variances add up.

    Calibration is lost by as much as the mean score is farther from the share of label 1 than it was on the held-out
    days.
    """
    lost: dict[str, Loss] = {}
    if found.auc is not None:
        lost["auc"] = _loss(reference.auc.value - found.auc.value, found.auc, reference.auc)
    lost["calibration"] = _loss(abs(found.bias.value - reference.bias.value), found.bias, reference.bias)
    return lost


def _loss(points: float, *estimates: Estimate) -> Loss:
    return Loss(points, points - Z * math.hypot(*(estimate.error for estimate in estimates)))


def judge_quality(lost: Mapping[str, Loss], thresholds: Checks) -> Severity:
    """The worse of ranking and calibration."""
    return worst(loss.severity(thresholds) for loss in lost.values())
