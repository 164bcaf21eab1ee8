"""The reference profile: what features and scores looked like when the model was made.

Here: its form, how it is measured, and how far apart two distributions are. Not here: what a distance of later rows
means (monitoring/drift.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from serving_assets.catalog.columns import Spec
from serving_assets.models.evaluation import HeldOut
from serving_assets.models.signature import Signature

_MOST_CATEGORIES = 50
ROUNDING = 1e-6
"""Relative difference of two computations of one number: of a float32 sum, or of the same SQL in another order."""
NOISE = 1e-9
"""What is left where a difference of two such sums should be zero, relative to the column's typical size."""


class Wander(Spec):
    """How far single days lie from all days together: the largest distance of any. Zero where no days are known.

    Every row of one day has nearly the same "days since the campaign began", so such a feature is always far from its
    reference, and means nothing by it.
    """

    psi: float = 0.0
    shift: float = 0.0
    nulls: float = 0.0


class Numbers(Spec):
    """Distribution of a number: bin i lies between edges[i-1] and edges[i], the first and the last bin are open.

    Edges lie between values, never on one; `number_bins` gives the bin of each value.
    """

    edges: tuple[float, ...]
    counts: Annotated[tuple[int, ...], Field(min_length=1)]
    null_rate: float
    wander: Wander = Wander()


class Categories(Spec):
    """Distribution of a string: rows of the most frequent values, and of all others together."""

    counts: dict[str, int]
    others: int
    null_rate: float
    wander: Wander = Wander()


class Histogram(Spec):
    """Rows by score for a picture: bin i holds scores in [edges[i], edges[i + 1]), the last one its upper edge too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Profile(Spec):
    """Features over the whole training set, scores over its held-out rows.

    Scores of the rows a model was fitted on are more extreme than any it gives later, so they would be a false
    reference. `scores` is for plots, `score_quantiles` for statistics; both by output column. `held_out` is their
    measured quality; None in bundles made before it was measured.
    """

    rows: int
    score_rows: int
    features: dict[str, Numbers | Categories]
    scores: dict[str, Histogram]
    score_quantiles: dict[str, Numbers]
    held_out: HeldOut | None = None


def profile(
    signature: Signature,
    training_set: pa.Table,
    scores: np.ndarray,
    *,
    day: str | None = None,
    score_days: np.ndarray | None = None,
    held_out: HeldOut | None = None,
    bins: int = 10,
) -> Profile:
    """Measure the profile.

    Args:
        signature: names the features.
        training_set: all its rows.
        scores: of the held-out rows, (rows,).
        day: the column of `training_set` with the day of each row; None where there is none.
        score_days: the day of each of `scores`, (rows,).
        held_out: what the scores were worth.
        bins: of the quantile bins.
    """
    days = None if day is None else training_set.column(day).to_numpy()
    features: dict[str, Numbers | Categories] = {}
    for feature in signature.features:
        column = training_set.column(feature.name)
        if feature.is_string:
            features[feature.name] = _categories(column, days)
        else:
            features[feature.name] = quantile_bins(column.cast(pa.float32(), safe=False).to_numpy(), bins, days)
    return Profile(
        rows=training_set.num_rows,
        score_rows=len(scores),
        features=features,
        scores={name: histogram(scores) for name in signature.outputs},
        score_quantiles={name: quantile_bins(scores, bins, score_days) for name in signature.outputs},
        held_out=held_out,
    )


def psi(reference: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray) -> float:
    """Population stability index of rows counted in the same bins: the sum of (p - q) ln(p / q).

    Half a row is added to each bin (Jeffreys), so that an empty one does not make it infinite.
    """
    p, q = (_shares(np.asarray(rows, dtype=np.float64)) for rows in (counts, reference))
    return float(np.sum((p - q) * np.log(p / q)))


def shift(reference: Sequence[int] | np.ndarray, counts: Sequence[int] | np.ndarray) -> float:
    """By how many standard deviations values have moved, from rows counted in the same ordered bins.

    The chance A that a value of now is above one of the reference, a tie counting half, as the distance of two normal
    distributions with that chance: sqrt(2) times the normal quantile of A (Ruscio 2008). Outliers do not move it.
    """
    p, q = (_shares(np.asarray(rows, dtype=np.float64)) for rows in (counts, reference))
    above = float(p @ (np.cumsum(q) - q / 2))
    return math.sqrt(2) * NormalDist().inv_cdf(min(max(above, 1e-12), 1 - 1e-12))


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def histogram(scores: np.ndarray, bins: int = 20) -> Histogram:
    """`scores`, which are probabilities, in equally wide bins."""
    counts, edges = np.histogram(scores, bins=bins, range=(0.0, 1.0))
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def quantile_bins(values: np.ndarray, bins: int, days: np.ndarray | None = None) -> Numbers:
    """Bins of about equally many values each, none empty; fewer bins where single values are frequent."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return counted(values, np.empty(0), days)
    quantiles = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return counted(values, _between(np.unique(finite.astype(np.float64)), quantiles.astype(np.float64)), days)


def _between(distinct: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Edges half-way from each quantile to the next value that is another one beyond rounding.

    An edge on a frequent value would put it into either bin, as it comes out a bit larger or smaller the next time.
    """
    size = np.maximum(np.abs(distinct[1:]), np.abs(distinct[:-1]))
    least = np.maximum(ROUNDING * size, NOISE * np.abs(quantiles).max())
    gaps = np.flatnonzero(np.diff(distinct) > least)
    place = np.searchsorted(distinct[gaps], quantiles, side="left")
    after = np.unique(gaps[place[place < len(gaps)]])
    return np.asarray((distinct[after] + distinct[after + 1]) / 2)


def number_bins(edges: Sequence[float] | np.ndarray, values: np.ndarray) -> np.ndarray:
    """The bin of each value, none of them missing.

    Edges of profiles made by earlier versions lie on values: moved up by the rounding, they have the values below them.
    """
    wide = np.asarray(edges, dtype=np.float64)
    return np.asarray(np.searchsorted(wide + ROUNDING * np.abs(wide), values.astype(np.float64), side="left"))


def counted(values: np.ndarray, edges: np.ndarray, days: np.ndarray | None = None) -> Numbers:
    """`values` counted between `edges`; NaN is missing. `days` has the day of each value."""
    present = ~np.isnan(values)
    bins = number_bins(edges, values[present])
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return Numbers(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        null_rate=1 - present.sum() / len(values) if len(values) else 0.0,
        wander=_wander(bins, counts, present, days, ordered=True),
    )


def _wander(
    bins: np.ndarray, counts: np.ndarray, present: np.ndarray, days: np.ndarray | None, *, ordered: bool
) -> Wander:
    """Of the values that are `present`, whose `bins` are given, by the day of each value, present or not."""
    if days is None or not present.any():
        return Wander()
    names, day = np.unique(days, return_inverse=True)
    size = len(counts)
    by_day = np.bincount(day[present] * size + bins, minlength=len(names) * size).reshape(-1, size)
    filled = np.bincount(day[present], minlength=len(names)) / np.bincount(day, minlength=len(names))
    return Wander(
        psi=max(psi(counts, of_day) for of_day in by_day if of_day.any()),
        shift=max(abs(shift(counts, of_day)) for of_day in by_day if of_day.any()) if ordered else 0.0,
        nulls=float(np.abs(filled - present.mean()).max()),
    )


def _categories(column: pa.ChunkedArray, days: np.ndarray | None) -> Categories:
    texts = column.cast(pa.string())
    counted_values = pc.value_counts(texts.drop_null()).to_pylist()
    frequent = sorted(counted_values, key=lambda entry: (-entry["counts"], entry["values"]))
    counts = {entry["values"]: entry["counts"] for entry in frequent[:_MOST_CATEGORIES]}
    others = sum(entry["counts"] for entry in frequent[_MOST_CATEGORIES:])
    return Categories(
        counts=counts,
        others=others,
        null_rate=column.null_count / len(column) if len(column) else 0.0,
        wander=_wander(
            category_bins(texts.drop_null(), list(counts)),
            np.array([*counts.values(), others]),
            texts.is_valid().to_numpy(),
            days,
            ordered=False,
        ),
    )


def category_bins(texts: Any, names: Sequence[str]) -> np.ndarray:
    """The bin of each text, none of them missing: its place in `names`, or one behind the last."""
    places = pc.index_in(texts, value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(places, len(names)).to_numpy(zero_copy_only=False), dtype=np.int64)
