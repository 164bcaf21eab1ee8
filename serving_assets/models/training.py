"""From a point-in-time training set to a measured candidate.

Here: which days are held out, fitting, and measuring. Not here: the SQL that made the set, the registry, or the
decision about the candidate (models/lifecycle/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving_assets.catalog.spec import DAY, UseCase
from serving_assets.errors import InputError, listed
from serving_assets.models.estimator import (
    Estimator,
    frame,
    openmp_threads,
    positive_class,
    refused_when_missing,
)
from serving_assets.models.evaluation import Difference, HoldoutMetrics, measure, paired_bootstrap
from serving_assets.models.parity import TOLERANCE
from serving_assets.models.serving_form import ServingForm, serving_form
from serving_assets.models.signature import Signature

BASELINE = "baseline:"
"""Prefix of the training set's columns that hold a baseline's ranking."""

Train = Callable[[Any, Any], Estimator]
"""A use case's `train(features: pandas.DataFrame, labels: pandas.Series)`, which returns a fitted classifier."""


@dataclass(frozen=True)
class Split:
    """As-of days by their part: fitted on, left out between, held out."""

    train: tuple[date, ...]
    gap: tuple[date, ...]
    holdout: tuple[date, ...]


@dataclass(frozen=True)
class Candidate:
    """A fitted model with what was measured of it.

    The model that was measured is the model that is kept: one refitted on all days would be newer by the holdout, but
    nothing measured would be true of it, neither the promotion's interval nor the calibration.

    Attributes:
        name: of the use case and the model.
        estimator: fitted on the split's train days.
        signature: features in order, with those required that the estimator refuses to miss.
        split: of the as-of days.
        train_rows: number of rows fitted on.
        training_set: all rows, of all days.
        holdout: its rows of the held-out days whose label is known.
        form: in which it serves; every score below comes from its scorer.
        held_out_rows: all rows of the held-out days, those whose label is not known yet included.
        held_out_scores: of these rows, float64 (rows,).
        unlabelled: rows whose label is not known yet; they are neither fitted on nor measured.
        scores: of the holdout, float64 (rows,).
        labels: of the holdout, float64 (rows,).
        entities: keys of the holdout, (rows,).
        metrics: on the holdout.
        baselines: AUC against each baseline on the holdout.
        baseline_scores: each baseline's ranking of the holdout.
    """

    name: str
    estimator: Estimator
    signature: Signature
    split: Split
    train_rows: int
    training_set: pa.Table
    unlabelled: int
    form: ServingForm
    held_out_rows: pa.Table
    held_out_scores: np.ndarray
    holdout: pa.Table
    scores: np.ndarray
    labels: np.ndarray
    entities: np.ndarray
    metrics: HoldoutMetrics
    baselines: dict[str, Difference]
    baseline_scores: dict[str, np.ndarray]


def split_days(days: Iterable[date], *, holdout: int, horizon_days: int) -> Split:
    """Hold out the newest `holdout` of the as-of days.

    As-of day D's label looks at the days D + 1 to D + `horizon_days`; a day from which that reaches behind the first
    held-out day is left out, because its label would not have been known when the holdout begins.

    Raises:
        InputError: when no day remains to train on.
    """
    ordered = sorted(set(days))
    held_out, earlier = ordered[-holdout:], ordered[:-holdout]
    train = [day for day in earlier if day + timedelta(days=horizon_days) <= held_out[0]]
    if not train:
        raise InputError(
            f"{len(ordered)} as-of days are too few: {holdout} are held out and none remains to train on.",
            hint="Materialize more days of features, or lower the model's holdout.",
        )
    return Split(tuple(train), tuple(earlier[len(train) :]), tuple(held_out))


def train_candidate(
    use_case: UseCase,
    training_set: pa.Table,
    train: Train,
    *,
    threads: int = 1,
    resamples: int = 1_000,
    tolerance: float = TOLERANCE,
) -> Candidate:
    """Fit on the earlier days, and measure on the held-out ones what the serving scorer gives.

    Args:
        use_case: declares the split, the label and the outputs.
        training_set: entity key, `day` (the as-of day), the features, the label (null: not known yet), and
            `baseline:<name>` columns. Rows may come in any order: they are sorted by day and entity, so that the same
            rows give the same model.
        train: the use case's function.
        threads: of the fit.
        resamples: of the bootstrap.
        tolerance: of the compiled form's scores.

    Raises:
        InputError: when days or labels do not suffice, or an entity stands twice on a day.
    """
    key, label = use_case.entity.key, use_case.labels.column
    baselines = [name for name in training_set.column_names if name.startswith(BASELINE)]
    columns, outputs = training_set.schema, tuple(use_case.predictions.columns)
    signature = Signature.of_schema(columns, exclude=(key, DAY, label, *baselines), outputs=outputs)
    training_set = training_set.sort_by([(DAY, "ascending"), (key, "ascending")])
    _each_once(training_set, key)
    days, horizon = pc.unique(training_set[DAY]).to_pylist(), use_case.labels.horizon_days
    split = split_days(days, holdout=use_case.model.holdout, horizon_days=horizon)
    labelled = training_set.filter(training_set[label].is_valid())
    fitted, holdout = _rows_of(labelled, split.train), _rows_of(labelled, split.holdout)
    _both_labels(training=fitted[label], held_out=holdout[label])
    with openmp_threads(threads):
        estimator = _fit(train, signature, fitted, label)
        signature = _with_required(signature, estimator, training_set)
    form = serving_form(use_case.name, estimator, signature, holdout, tolerance=tolerance)
    held_out = _rows_of(training_set, split.holdout)
    all_scores = form.scorer.score(_batch(held_out, signature))[signature.outputs[0]]
    scores = all_scores[held_out[label].is_valid().to_numpy()]
    labels, entities = _numbers(holdout[label]), holdout[key].to_numpy()
    rankings = {name.removeprefix(BASELINE): _numbers(holdout[name]) for name in baselines}
    return Candidate(
        name=use_case.name,
        estimator=estimator,
        signature=signature,
        split=split,
        train_rows=fitted.num_rows,
        training_set=training_set,
        unlabelled=training_set.num_rows - labelled.num_rows,
        form=form,
        held_out_rows=held_out,
        held_out_scores=all_scores,
        holdout=holdout,
        scores=scores,
        labels=labels,
        entities=entities,
        metrics=measure(labels, scores),
        baselines=paired_bootstrap(labels, scores, rankings, entities, resamples=resamples),
        baseline_scores=rankings,
    )


def _fit(train: Train, signature: Signature, rows: pa.Table, label: str) -> Estimator:
    import pandas as pd

    labels = pd.Series(_numbers(rows[label]), name=label)
    estimator = train(frame(signature, _batch(rows, signature)), labels)
    positive_class(estimator)
    return estimator


def _with_required(signature: Signature, estimator: Estimator, rows: pa.Table) -> Signature:
    complete = _complete_row(rows, signature)
    if complete is None:
        return signature
    return signature.requiring(refused_when_missing(estimator, signature, complete))


def _rows_of(table: pa.Table, days: tuple[date, ...]) -> pa.Table:
    return table.filter(pc.is_in(table[DAY], pa.array(days, type=table.schema.field(DAY).type)))


def _batch(table: pa.Table, signature: Signature) -> pa.RecordBatch:
    return table.select(list(signature.names)).combine_chunks().to_batches()[0]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """float64 (rows,); a missing baseline ranks last."""
    values = column.cast(pa.float64()).to_numpy()
    return np.where(np.isnan(values), -np.inf, values)


def _both_labels(**parts: pa.ChunkedArray) -> None:
    for part, labels in parts.items():
        found = sorted(pc.unique(labels).to_pylist())
        if found != [0.0, 1.0]:
            raise InputError(
                f"the {part.replace('_', '-')} labels are {listed(found)}, expected both 0 and 1.",
                hint="Check the labels' SQL and that its inputs cover the days after each as-of day.",
            )


def _each_once(table: pa.Table, key: str) -> None:
    """An entity that stands twice on a day would be fitted on and measured twice."""
    counted = table.group_by([DAY, key]).aggregate([([], "count_all")])
    twice = counted.filter(pc.field("count_all") > 1).sort_by([(DAY, "ascending"), (key, "ascending")])
    if twice.num_rows:
        places = (f"{row[key]} on {row[DAY]} ({row['count_all']} times)" for row in twice.to_pylist())
        raise InputError(
            f"{twice.num_rows:,} rows of the training set stand more than once: {listed(places)}.",
            hint=f"Return one row per {key} from features.sql and from labels.sql, and train again.",
        )


def _complete_row(table: pa.Table, signature: Signature) -> pa.RecordBatch | None:
    """A row that misses no feature, its holes filled from other rows; None when a feature is missing everywhere."""
    columns = []
    for name in signature.names:
        column = table[name].combine_chunks()
        if pa.types.is_floating(column.type):
            column = column.filter(pc.is_finite(column))
        column = column.drop_null()
        if not len(column):
            return None
        columns.append(column.slice(0, 1))
    return pa.RecordBatch.from_arrays(columns, names=list(signature.names))
