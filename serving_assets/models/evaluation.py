"""How good scores are against labels: ranking, calibration, and the uncertainty of a comparison.

Here: pure functions of arrays. Not here: models, tables, or what follows from the numbers
(models/lifecycle/promotion.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serving_assets.catalog.columns import Spec


class Bin(Spec):
    """One bin of a calibration table: mean predicted probability, observed share of label 1, rows."""

    predicted: float
    observed: float
    rows: int


class Difference(Spec):
    """AUC of one scoring minus another's on the same rows, with its 95 % interval (percentile bootstrap)."""

    auc: float
    other_auc: float
    difference: float
    low: float
    high: float


class HoldoutMetrics(Spec):
    """What is measured on held-out rows."""

    rows: int
    positives: int
    auc: float
    log_loss: float
    brier: float
    calibration_error: float
    calibration: tuple[Bin, ...]


class Estimate(Spec):
    """A number and its standard error."""

    value: float
    error: float


class HeldOut(Spec):
    """What the model was worth on its held-out rows, with the errors that a later comparison needs.

    `bias` is the mean score minus the share of label 1.
    """

    auc: Estimate
    bias: Estimate


def held_out(labels: np.ndarray, scores: np.ndarray, entities: np.ndarray) -> HeldOut:
    """The reference for later days; rows of one entity, `entities` (rows,), are not independent."""
    return HeldOut(auc=auc_estimate(labels, scores, entities), bias=bias_estimate(labels, scores, entities))


def auc_estimate(labels: np.ndarray, scores: np.ndarray, entities: np.ndarray | None = None) -> Estimate:
    """AUC with the standard error of DeLong et al. 1988, both labels present.

    Each row's part in it is the share of rows of the other label that it ranks rightly; the parts of one entity are
    added before they are squared (Obuchowski 1997), of rows without entities each counts for itself.
    """
    positive = labels > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    right = np.empty(len(scores))
    right[positive] = _share_below(scores[positive], scores[~positive])
    right[~positive] = 1 - _share_below(scores[~positive], scores[positive])
    value = float(right[positive].mean())
    parts = (right - value) / np.where(positive, count, others)
    return Estimate(value=value, error=_error(parts, entities))


def bias_estimate(labels: np.ndarray, scores: np.ndarray, entities: np.ndarray | None = None) -> Estimate:
    """The mean score minus the share of label 1, with its standard error."""
    differences = scores - labels
    value = float(differences.mean())
    return Estimate(value=value, error=_error((differences - value) / len(scores), entities))


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each value, the share of `others` below it, a tie counting half."""
    ranked = np.sort(others)
    below = np.searchsorted(ranked, values, side="left") + np.searchsorted(ranked, values, side="right")
    return np.asarray(below / (2 * len(others)))


def _error(parts: np.ndarray, entities: np.ndarray | None) -> float:
    if entities is not None:
        parts = np.bincount(np.unique(entities, return_inverse=True)[1], weights=parts)
    return float(np.sqrt(np.sum(parts**2)))


def measure(labels: np.ndarray, scores: np.ndarray) -> HoldoutMetrics:
    """All metrics of `scores` (probabilities, (rows,)) against `labels` (0 or 1, (rows,))."""
    table = calibration(labels, scores)
    return HoldoutMetrics(
        rows=len(labels),
        positives=int(labels.sum()),
        auc=auc(labels, scores),
        log_loss=log_loss(labels, scores),
        brier=brier(labels, scores),
        calibration_error=expected_calibration_error(table),
        calibration=table,
    )


def auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve: the chance that a positive ranks above a negative, a tie counting half.

    The Mann-Whitney statistic U / (P N), Hanley & McNeil 1982, with each row counted `weights` times. NaN when one
    kind of label is absent.
    """
    return _Ranking(labels, scores).auc(np.ones(len(labels)) if weights is None else weights)


def log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean negative log-likelihood in nats, probabilities clipped to [1e-15, 1 - 1e-15]."""
    p = np.clip(scores, 1e-15, 1 - 1e-15)
    return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p)))


def brier(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean squared difference of probability and label (Brier 1950)."""
    return float(np.mean((scores - labels) ** 2))


def calibration(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> tuple[Bin, ...]:
    """Predicted against observed in bins of equally many rows; rows of one score stay in one bin.

    Equal rows instead of equal width, so that a rare label is not all in the first bin (Nixon et al. 2019).
    """
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, scores, side="left")
    rows = np.bincount(index, minlength=len(edges) + 1)
    predicted = np.bincount(index, weights=scores, minlength=len(edges) + 1)
    observed = np.bincount(index, weights=labels, minlength=len(edges) + 1)
    return tuple(
        Bin(predicted=float(p / n), observed=float(o / n), rows=int(n))
        for p, o, n in zip(predicted, observed, rows, strict=True)
        if n
    )


def expected_calibration_error(table: tuple[Bin, ...]) -> float:
    """Mean |observed - predicted| over bins, weighted by their rows (Naeini et al. 2015)."""
    rows = sum(entry.rows for entry in table)
    return sum(entry.rows * abs(entry.observed - entry.predicted) for entry in table) / rows


def paired_bootstrap(
    labels: np.ndarray,
    scores: np.ndarray,
    others: Mapping[str, np.ndarray],
    entities: np.ndarray,
    *,
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, Difference]:
    """AUC of `scores` minus that of each of `others`, with 95 % percentile intervals (Efron & Tibshirani 1993, ch. 13).

    Entities are drawn with replacement, each with all its rows (the cluster bootstrap), because rows of one entity
    are not independent; both scorings see the same draw, so what they share cancels out.

    Args:
        labels: 0 or 1, (rows,).
        scores: (rows,), higher meaning likelier.
        others: name to (rows,).
        entities: key of each row's entity, (rows,).
        resamples: number of draws.
        seed: of the draws.
    """
    if not others:
        return {}
    _, entity = np.unique(entities, return_inverse=True)
    count = int(entity.max()) + 1
    rankings = [_Ranking(labels, scores), *(_Ranking(labels, other) for other in others.values())]
    draws = np.empty((resamples, len(rankings)))
    rng = np.random.default_rng(seed)
    for resample in range(resamples):
        weights = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)[entity]
        draws[resample] = [ranking.auc(weights) for ranking in rankings]
    own, *rest = [ranking.auc(np.ones(len(labels))) for ranking in rankings]
    lows, highs = np.nanquantile(draws[:, :1] - draws[:, 1:], [0.025, 0.975], axis=0)
    return {
        name: Difference(auc=own, other_auc=other, difference=own - other, low=float(low), high=float(high))
        for name, other, low, high in zip(others, rest, lows, highs, strict=True)
    }


class _Ranking:
    """Rows sorted by score once, so that each weighting of them costs two passes."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray) -> None:
        order = np.argsort(scores, kind="stable")
        ranked = scores[order]
        positive = labels[order] > 0.5
        group = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
        self._groups = int(group[-1]) + 1
        self._positive, self._negative = order[positive], order[~positive]
        self._positive_group, self._negative_group = group[positive], group[~positive]

    def auc(self, weights: np.ndarray) -> float:
        positive = weights[self._positive]
        negative = np.bincount(self._negative_group, weights=weights[self._negative], minlength=self._groups)
        below = np.cumsum(negative) - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive @ below[self._positive_group] / pairs) if pairs else float("nan")
