"""Pictures of a model, as PNG bytes.

Here: drawing. Not here: the numbers drawn (evaluation.py, profile.py), or where a picture is shown (pipeline/).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from serving_assets.models.evaluation import HoldoutMetrics
from serving_assets.models.profile import Categories, Numbers

_INK, _SOFT, _REFERENCE = "#1f4e79", "#9dc3e6", "#a6a6a6"


def calibration_plot(metrics: HoldoutMetrics, title: str) -> bytes:
    """Observed against predicted by bin, with the number of rows as the points' size."""
    figure, axes = _canvas(f"{title}: calibration, error {metrics.calibration_error:.3f}")
    rows = np.array([entry.rows for entry in metrics.calibration])
    predicted = [entry.predicted for entry in metrics.calibration]
    observed = [entry.observed for entry in metrics.calibration]
    axes.plot([0, 1], [0, 1], color=_REFERENCE, linewidth=1, linestyle="--", label="perfect")
    axes.plot(predicted, observed, color=_SOFT, linewidth=1)
    axes.scatter(
        predicted, observed, s=20 + 60 * rows / rows.max(), color=_INK, label=f"{metrics.rows:,} held-out rows"
    )
    axes.set(xlabel="mean predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    return _png(figure, axes)


def score_histogram(edges: Sequence[float], counts: Sequence[int], reference: Sequence[int], title: str) -> bytes:
    """Share of rows by score, beside that of the reference profile.

    Args:
        edges: of the bins, one more than there are bins.
        counts: rows in each bin now.
        reference: rows in each bin when the model was made.
        title: what is scored.
    """
    figure, axes = _canvas(f"{title}: {sum(counts):,} scores")
    bins = np.asarray(edges)
    axes.bar(bins[:-1], _share(counts), np.diff(bins), align="edge", color=_SOFT, edgecolor="white", label="this day")
    axes.stairs(_share(reference), bins, color=_INK, linewidth=1.5, label="reference: held out in training")
    top = max(_share(counts).max(), _share(reference).max(), 0.01)
    axes.set(xlabel="score", ylabel="share of rows", xlim=(bins[0], bins[-1]), ylim=(0, 1.3 * top))
    return _png(figure, axes)


def drift_plot(reference: Numbers | Categories, counts: np.ndarray, title: str) -> bytes:
    """Share of rows by bin of the reference, now beside then.

    Args:
        reference: the column when the model was made.
        counts: rows in each of its bins now; the last one of categories holds all others.
        title: the column.
    """
    figure, axes = _canvas(f"{title}: {counts.sum():,} values", bottom=0.3)
    if isinstance(reference, Numbers):
        then = list(reference.counts)
        bounds = ["", *(f"{edge:.3g}" for edge in reference.edges), ""]
        names = [f"{low} to {high}".strip() for low, high in pairwise(bounds)]
    else:
        then, names = [*reference.counts.values(), reference.others], [*reference.counts, "others"]
    places = np.arange(len(names))
    axes.bar(places - 0.2, _share(then), 0.4, color=_REFERENCE, label="reference: the training set")
    axes.bar(places + 0.2, _share(counts.tolist()), 0.4, color=_INK, label="this day")
    axes.set(ylabel="share of rows")
    axes.set_xticks(places, names, rotation=60, fontsize=7, ha="right", rotation_mode="anchor")
    return _png(figure, axes)


def quality_plot(days: Sequence[date], auc: np.ndarray, errors: np.ndarray, reference: float, title: str) -> bytes:
    """AUC day by day with its 95 % interval, beside that of the held-out days.

    Args:
        days: oldest first.
        auc: of each day, (days,).
        errors: half the width of each interval, (days,).
        reference: AUC on the held-out days.
        title: what is scored.
    """
    figure, axes = _canvas(f"{title}: AUC when it was known what happened")
    axes.axhline(reference, color=_REFERENCE, linewidth=1, linestyle="--", label="held out in training")
    axes.errorbar(days, auc, yerr=errors, color=_INK, ecolor=_SOFT, marker="o", markersize=3, linewidth=1, label="day")
    axes.set(ylabel="AUC")
    axes.tick_params(axis="x", rotation=30, labelsize=7)
    return _png(figure, axes)


def roc_plot(labels: np.ndarray, rankings: Mapping[str, np.ndarray], title: str) -> bytes:
    """ROC curves, the first ranking (the model) emphasised over the others (baselines)."""
    figure, axes = _canvas(f"{title}: ROC on held-out rows")
    axes.plot([0, 1], [0, 1], color=_REFERENCE, linewidth=1, linestyle="--")
    for index, (name, scores) in enumerate(rankings.items()):
        false_rate, true_rate = _roc(labels, scores)
        style = {"color": _INK, "linewidth": 2} if index == 0 else {"linewidth": 1}
        axes.plot(false_rate, true_rate, label=name, **style)
    axes.set(xlabel="share of negatives reached", ylabel="share of positives reached", xlim=(0, 1), ylim=(0, 1))
    return _png(figure, axes)


def _roc(labels: np.ndarray, scores: np.ndarray, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, descending by score, at most `points` of them."""
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], labels[order] > 0.5
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    true_rate = np.append(0, (np.cumsum(positive) / positive.sum())[last_of_tie])
    false_rate = np.append(0, (np.cumsum(~positive) / (~positive).sum())[last_of_tie])
    picked = np.unique(np.linspace(0, len(true_rate) - 1, points).astype(int))
    return false_rate[picked], true_rate[picked]


def _share(counts: Sequence[int]) -> np.ndarray:
    return np.asarray(counts) / max(1, sum(counts))


def _canvas(title: str, bottom: float = 0.15) -> tuple[Any, Any]:
    """Axes within fixed margins: a layout that fits them to the labels draws everything twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), dpi=90)
    figure.subplots_adjust(left=0.12, right=0.97, top=0.91, bottom=bottom)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any, axes: Any) -> bytes:
    axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
