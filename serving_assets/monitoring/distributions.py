"""Distributions of now, counted in the bins of the reference profile, batch by batch.

Here: the counting, in one pass and in memory that does not grow with the rows. Not here: what a difference means
(drift.py, nulls.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from serving_assets.models.profile import ROUNDING, Categories, Numbers, category_bins, number_bins


@dataclass
class Distribution:
    """A column counted in the bins of `reference`; the last one of categories holds all others."""

    reference: Numbers | Categories
    counts: np.ndarray = field(init=False)
    missing: int = 0
    smallest: float = float("inf")
    largest: float = float("-inf")

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.reference_counts), dtype=np.int64)

    @property
    def reference_counts(self) -> np.ndarray:
        """Rows of the reference, bin by bin."""
        known = self.reference
        return np.array(known.counts if isinstance(known, Numbers) else [*known.counts.values(), known.others])

    @property
    def rows(self) -> int:
        """Rows that were counted, those without a value included."""
        return int(self.counts.sum()) + self.missing

    @property
    def constant(self) -> bool:
        """Whether there are several values, all the same, of a number that had different ones."""
        several = isinstance(self.reference, Numbers) and len(self.reference.edges) > 0
        return several and self.counts.sum() > 1 and math.isclose(self.smallest, self.largest, rel_tol=ROUNDING)

    def add(self, column: pa.Array, dtype: pa.DataType) -> None:
        """Count the values of one batch; numbers are rounded to `dtype` first, as those of the reference were."""
        if isinstance(self.reference, Categories):
            present = column.cast(pa.string()).drop_null()
            bins = category_bins(present, list(self.reference.counts))
        else:
            values = column.cast(dtype, safe=False).to_numpy(zero_copy_only=False)
            present = values[~np.isnan(values)]
            bins = number_bins(self.reference.edges, present)
            if len(present):
                self.smallest = min(self.smallest, float(present.min()))
                self.largest = max(self.largest, float(present.max()))
        self.missing += len(column) - len(present)
        self.counts += np.bincount(bins, minlength=len(self.counts))


def count_batch(
    found: Mapping[str, Distribution],
    batch: pa.RecordBatch,
    dtype: pa.DataType = pa.float32(),  # noqa: B008  a constant
) -> None:
    """Add the columns of `batch` to the distributions of their names. Features enter a model as float32."""
    for name, distribution in found.items():
        distribution.add(batch.column(name), dtype)
