"""Rows made to find a difference between two forms of one model.

Here: which rows. Not here: the comparison (parity.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from serving_assets.models.estimator import Estimator
from serving_assets.models.signature import Signature
from serving_assets.models.trees import floor32, forests

_FLOAT32 = np.finfo(np.float32)
_TINY = (float(_FLOAT32.tiny), float(_FLOAT32.smallest_subnormal))
_EXTREMES = (0.0, -0.0, 1.0, -1.0, float(_FLOAT32.max), float(_FLOAT32.min), *_TINY, 2.0**24 + 1)
_STRINGS = ("", "a category nobody has seen", "ünsëen ☃", " ")
_MOST_THRESHOLDS = 4_000
"""Thresholds beyond this many are sampled, so that certifying stays a matter of seconds."""


def adversarial_rows(
    estimator: Estimator, signature: Signature, base: pa.RecordBatch, *, seed: int = 0
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Groups of rows by what they are about; every row is one of `base` with something replaced.

    Args:
        estimator: the fitted original, whose thresholds are aimed at.
        signature: of the model.
        base: some rows of the training set.
        seed: of the sampling.
    """
    rng = np.random.default_rng(seed)
    features = _Rows(signature, base, rng)
    yield "missing", features.replaced([(name, None) for name in features.optional])
    if features.optional:
        yield "all missing", features.all_missing()
    yield "extremes", features.replaced([(name, value) for name in features.numeric for value in _EXTREMES])
    yield "infinities", features.replaced([(name, value) for name in features.numeric for value in (np.inf, -np.inf)])
    yield "unseen categories", features.replaced([(name, value) for name in features.strings for value in _STRINGS])
    if signature.all_numeric:
        yield "thresholds", features.replaced(_around_thresholds(estimator, signature, rng))


def _around_thresholds(
    estimator: Estimator, signature: Signature, rng: np.random.Generator
) -> list[tuple[str, float | None]]:
    """Each tree threshold as the nearest float32 below or at it, and the float32 to either side of that."""
    pairs = set()
    for forest in forests(estimator):
        inner = ~forest.leaf
        if inner.any() and forest.feature.max() < len(signature.features):
            pairs |= set(zip(forest.feature[inner].tolist(), floor32(forest.threshold[inner]).tolist(), strict=True))
    chosen = sorted(pairs)
    if len(chosen) > _MOST_THRESHOLDS:
        chosen = [chosen[i] for i in rng.choice(len(chosen), _MOST_THRESHOLDS, replace=False)]
    names = signature.names
    return [
        (names[feature], float(value))
        for feature, threshold in chosen
        for value in (
            threshold,
            np.nextafter(np.float32(threshold), np.float32(np.inf)),
            np.nextafter(np.float32(threshold), np.float32(-np.inf)),
        )
    ]


class _Rows:
    """Rows of `base` with one feature replaced in each."""

    def __init__(self, signature: Signature, base: pa.RecordBatch, rng: np.random.Generator) -> None:
        self.signature = signature
        self.base = base.select(list(signature.names))
        self.rng = rng
        self.numeric = [f.name for f in signature.features if not f.is_string]
        self.strings = [f.name for f in signature.features if f.is_string]
        self.optional = [f.name for f in signature.features if not f.required]

    def replaced(self, changes: Sequence[tuple[str, float | str | None]]) -> pa.RecordBatch:
        """One row for each change (feature, value), the rest of it drawn from the base; None is missing."""
        picked = self.base.take(pa.array(self.rng.integers(0, self.base.num_rows, len(changes))))
        columns = []
        for feature in self.signature.features:
            column = picked.column(feature.name)
            new = {index: value for index, (name, value) in enumerate(changes) if name == feature.name}
            wide = column.cast(pa.string() if feature.is_string else pa.float64(), safe=False)
            columns.append(_put(wide, new))
        return pa.RecordBatch.from_arrays(columns, names=list(self.signature.names))

    def all_missing(self) -> pa.RecordBatch:
        """One row in which everything is missing that may be."""
        row = self.base.slice(0, 1)
        columns = [
            row.column(f.name) if f.required else pa.nulls(1, pa.string() if f.is_string else pa.float64())
            for f in self.signature.features
        ]
        return pa.RecordBatch.from_arrays(columns, names=list(self.signature.names))


def _put(column: pa.Array, values: dict[int, float | str | None]) -> pa.Array:
    """`column` with the values of some rows replaced."""
    if not values:
        return column
    cells = column.to_pylist()
    for row, value in values.items():
        cells[row] = value
    return pa.array(cells, type=column.type)
