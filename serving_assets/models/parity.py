"""The parity certificate: the compiled scorer against the estimator it was compiled from.

Here: the comparison and its verdict. Not here: what follows from the verdict (packaging.py), or quality against labels
(evaluation.py).
"""

from __future__ import annotations

import warnings
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict

from serving_assets.catalog.columns import Spec
from serving_assets.models.adversarial import adversarial_rows
from serving_assets.models.estimator import Estimator, openmp_threads, predict
from serving_assets.models.scorer import Scorer

TOLERANCE = 1e-6
_BASE_ROWS = 64
_SINGLE_ROWS = 200
_BATCH_ROWS = 65_536


class ScorerParity(Spec):
    """How far two forms of one model lie apart, and whether the compiled one may be served.

    `refused_rows` are adversarial rows that the original refuses (most refuse infinities), so that nothing can be
    compared. `batch_invariant`: a row alone, among few and among many got bit-identical scores. `worst` is the
    group of rows with the largest difference, and both scores: not the row, which may be a person's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    passed: bool
    max_abs_difference: float
    tolerance: float
    rows: int
    adversarial_rows: int
    refused_rows: int
    batch_invariant: bool
    worst: dict[str, Any] | None = None

    @property
    def reason(self) -> str:
        """Why the compiled form may be served, or may not."""
        if not self.batch_invariant:
            return "the compiled form scores the same row differently in batches of different sizes"
        place = f" ({self.worst['group']})" if self.worst else ""
        relation = "within" if self.passed else "beyond"
        return f"largest difference {self.max_abs_difference:.2g}{place}, {relation} {self.tolerance:g}"


def certify(
    estimator: Estimator, scorer: Scorer, validation: pa.Table, *, tolerance: float = TOLERANCE
) -> ScorerParity:
    """Compare `scorer` with `estimator` on every validation row and on adversarial ones.

    Args:
        estimator: the fitted original.
        scorer: the compiled form under test.
        validation: rows with all features; further columns are ignored.
        tolerance: largest absolute difference of a score.
    """
    with openmp_threads(1):
        return _certify(estimator, scorer, validation, tolerance)


def _certify(estimator: Estimator, scorer: Scorer, validation: pa.Table, tolerance: float) -> ScorerParity:
    signature = scorer.signature
    table = validation.select(list(signature.names))
    base = _sample(table, _BASE_ROWS)
    groups = chain(
        (("validation", batch) for batch in table.to_batches(max_chunksize=_BATCH_ROWS)),
        adversarial_rows(estimator, signature, base),
    )
    compared = {True: 0, False: 0}
    refused, largest, worst = 0, 0.0, None
    for group, batch in groups:
        answered, expected = _answered(estimator, scorer, batch)
        refused += batch.num_rows - answered.num_rows
        compared[group == "validation"] += answered.num_rows
        if not answered.num_rows:
            continue
        found = scorer.score(answered)[scorer.columns[0]]
        difference = _difference(expected, found)
        index = int(difference.argmax())
        if difference[index] > largest:
            largest = float(difference[index])
            worst = {"group": group, "expected": float(expected[index]), "found": float(found[index])}
    invariant = batch_invariant(scorer, _sample(table, 4_096))
    return ScorerParity(
        passed=largest <= tolerance and invariant,
        max_abs_difference=largest,
        tolerance=tolerance,
        rows=compared[True],
        adversarial_rows=compared[False],
        refused_rows=refused,
        batch_invariant=invariant,
        worst=worst,
    )


def batch_invariant(scorer: Scorer, batch: pa.RecordBatch, *, seed: int = 0) -> bool:
    """Whether rows get bit-identical scores alone, in small batches, and in another order."""
    column = scorer.columns[0]
    whole = scorer.score(batch)[column]
    order = np.random.default_rng(seed).permutation(batch.num_rows)
    if not _same_bits(scorer.score(batch.take(pa.array(order)))[column], whole[order]):
        return False
    return all(
        _same_bits(scorer.score(batch.slice(start, size))[column], whole[start : start + size])
        for size in (1, 2, 7, 33)
        for start in range(0, min(_SINGLE_ROWS, batch.num_rows), size)
    )


def _same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    return left.tobytes() == right.tobytes()


def _sample(table: pa.Table, rows: int) -> pa.RecordBatch:
    """At most `rows` rows, evenly spaced over the table."""
    picked = np.unique(np.linspace(0, table.num_rows - 1, min(rows, table.num_rows)).astype(np.int64))
    return table.take(pa.array(picked)).combine_chunks().to_batches()[0]


def _answered(estimator: Estimator, scorer: Scorer, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows of `batch` that the estimator scores, and those scores; what it refuses is found by halving."""
    if not batch.num_rows:
        return batch, np.empty(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of infinities, which are the point
            return batch, predict(estimator, scorer.signature, batch)
    except ValueError:
        if batch.num_rows == 1:
            return batch.slice(0, 0), np.empty(0)
    half = batch.num_rows // 2
    left, left_scores = _answered(estimator, scorer, batch.slice(0, half))
    right, right_scores = _answered(estimator, scorer, batch.slice(half))
    both = pa.Table.from_batches([left, right]).combine_chunks().to_batches()
    return (both[0] if both else batch.slice(0, 0)), np.concatenate([left_scores, right_scores])


def _difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Absolute difference by row; infinite where only one of the two is a number, zero where neither is."""
    neither = np.isnan(expected) & np.isnan(found)
    difference = np.abs(expected - found)
    return np.where(neither | (expected == found), 0.0, np.where(np.isnan(difference), np.inf, difference))
