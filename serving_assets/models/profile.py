"""The reference profile: what features and scores looked like when the model was made.

Here: its form and how it is measured. Not here: the comparison of later rows with it (checks do that).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from serving_assets.catalog.columns import Spec
from serving_assets.models.signature import Signature

_MOST_CATEGORIES = 50


class Numbers(Spec):
    """Distribution of a number: bin i holds values in (edges[i-1], edges[i]], the first and the last bin are open.

    So `numpy.searchsorted(edges, values, side="left")` is the bin of each value.
    """

    edges: tuple[float, ...]
    counts: Annotated[tuple[int, ...], Field(min_length=1)]
    null_rate: float


class Categories(Spec):
    """Distribution of a string: rows of the most frequent values, and of all others together."""

    counts: dict[str, int]
    others: int
    null_rate: float


class Histogram(Spec):
    """Rows by score for a picture: bin i holds scores in [edges[i], edges[i + 1]), the last one its upper edge too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Profile(Spec):
    """Features over the whole training set, scores over its held-out rows.

    Scores of the rows a model was fitted on are more extreme than any it gives later, so they would be a false
    reference. `scores` is for the eye, `score_quantiles` for a statistic; both by output column.
    """

    rows: int
    score_rows: int
    features: dict[str, Numbers | Categories]
    scores: dict[str, Histogram]
    score_quantiles: dict[str, Numbers]


def profile(signature: Signature, training_set: pa.Table, scores: np.ndarray, *, bins: int = 10) -> Profile:
    """Measure the profile.

    Args:
        signature: names the features.
        training_set: all its rows.
        scores: of the held-out rows, (rows,).
        bins: of the quantile bins.
    """
    features: dict[str, Numbers | Categories] = {}
    for feature in signature.features:
        column = training_set.column(feature.name)
        if feature.is_string:
            features[feature.name] = _categories(column)
        else:
            features[feature.name] = quantile_bins(column.cast(pa.float32(), safe=False).to_numpy(), bins)
    return Profile(
        rows=training_set.num_rows,
        score_rows=len(scores),
        features=features,
        scores={name: histogram(scores) for name in signature.outputs},
        score_quantiles={name: quantile_bins(scores, bins) for name in signature.outputs},
    )


def histogram(scores: np.ndarray, bins: int = 20) -> Histogram:
    """`scores`, which are probabilities, in equally wide bins."""
    counts, edges = np.histogram(scores, bins=bins, range=(0.0, 1.0))
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()))


def quantile_bins(values: np.ndarray, bins: int) -> Numbers:
    """Bins of about equally many values each, none empty; fewer bins where single values are frequent."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return counted(values, np.empty(0))
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return counted(values, edges[edges < finite.max()])


def counted(values: np.ndarray, edges: np.ndarray) -> Numbers:
    """`values` counted between `edges`; NaN is missing."""
    present = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return Numbers(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        null_rate=1 - len(present) / len(values) if len(values) else 0.0,
    )


def _categories(column: pa.ChunkedArray) -> Categories:
    counted_values = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    frequent = sorted(counted_values, key=lambda entry: (-entry["counts"], entry["values"]))
    return Categories(
        counts={entry["values"]: entry["counts"] for entry in frequent[:_MOST_CATEGORIES]},
        others=sum(entry["counts"] for entry in frequent[_MOST_CATEGORIES:]),
        null_rate=column.null_count / len(column) if len(column) else 0.0,
    )
