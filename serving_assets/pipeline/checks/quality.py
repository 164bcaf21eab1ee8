"""Matured quality: when the label's horizon has passed, that day's predictions are held against what happened.

Here: finding predictions, labels and segments of the matured day, and the verdict with its table and its plot over
time. Not here: the measures (monitoring/quality.py), or the labels' SQL (the use case's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.models.evaluation import Estimate, HeldOut
from serving_assets.models.plots import quality_plot
from serving_assets.monitoring.quality import Loss, Quality, Z, by_segment, judge_quality, losses, quality_of
from serving_assets.pipeline.checks.history import evaluations
from serving_assets.pipeline.checks.verdict import Check, Verdict, table_of
from serving_assets.pipeline.dagster_instance.step_metadata import picture
from serving_assets.pipeline.days import as_of, label_inputs
from serving_assets.pipeline.labels import label_of, refuse_unfit_labels
from serving_assets.pipeline.platform import Platform

MATURED_QUALITY = Check(
    "matured_quality",
    "Predictions whose outcome is known by now ranked and weighed as well as on the days held out in training.",
    blocking=False,
)
MATURED_DAY = "matured_day"
SHOWN = 90
"""Evaluations that the plot looks back."""


def check_matured_quality(
    use_case: BoundUseCase,
    platform: Platform,
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    day: date,
    *,
    pictured: bool = True,
) -> Verdict:
    """Judge the predictions for the day whose label is complete with the end of `day`."""
    thresholds, horizon = use_case.spec.checks, use_case.spec.labels.horizon_days
    matured = day - timedelta(days=horizon)
    why = _not_yet(use_case, platform, instance, matured)
    if why is None:
        try:
            refuse_unfit_labels(use_case, platform, matured)
        except InputError as error:
            message = f"Not judged. {error.message} {error.hint}"
            return MATURED_QUALITY.verdict("warn", message, measured=0, threshold=thresholds.quality_warn)
        rows = platform.engine.collect(_query(use_case, platform, matured))
        known = rows.filter(rows["label__"].is_valid())
        unknown, rows = rows.num_rows - known.num_rows, known
        why = None if rows.num_rows else f"{matured} has no predictions whose label is known."
    if why is not None:
        return MATURED_QUALITY.verdict("pass", why, measured=0, threshold=thresholds.quality_warn)
    labels, scores = (rows[name].to_numpy() for name in ("label__", "score__"))
    found = quality_of(labels, scores)
    version = rows["model_version"][0].as_py()
    reference = _reference(platform, use_case.name, version)
    lost = losses(found, reference) if reference else {}
    severity = judge_quality(lost, thresholds)
    numbers = _numbers(found) | {"labels_not_known_yet": unknown}
    verdict = MATURED_QUALITY.verdict(
        severity,
        _message(matured, found, lost, reference),
        measured=round(max((loss.least for loss in lost.values()), default=0.0), 4),
        threshold=thresholds.quality_error if severity == "error" else thresholds.quality_warn,
        numbers=numbers,
    )
    shown: dict[str, Any] = {MATURED_DAY: str(matured), "segments": table_of(_segments(rows, labels, scores, found))}
    if pictured and reference is not None:
        earlier = [evaluation.metadata for evaluation in evaluations(instance, asset, MATURED_QUALITY.name, SHOWN)]
        if len(series := _series(earlier, matured, numbers)) > 1:
            shown["over_time"] = picture(_plot(series, reference, use_case.name), "AUC")
    return verdict.showing(model_version=version, **shown)


def _not_yet(use_case: BoundUseCase, platform: Platform, instance: dg.DagsterInstance, matured: date) -> str | None:
    """Why the day cannot be judged."""
    historic = platform.lake.table(use_case.lake_name("historic"))
    if not historic.partitions("scored_for", {"scored_for": matured}):
        return f"Nothing has matured: there are no predictions for {matured}."
    for name, window in use_case.spec.labels.inputs.items():
        table = platform.catalog.tables[name]
        have = instance.get_materialized_partitions(dg.AssetKey([table.layer, name])) if table.daily else set()
        needed = DayRange(matured + timedelta(days=1), matured + timedelta(days=window.days))
        if table.daily and (missing := [str(when) for when in needed.days() if str(when) not in have]):
            return f"What happened after {matured} is not known: {table.lake_name} lacks {missing[0]}."
    return None


def _query(use_case: BoundUseCase, platform: Platform, matured: date) -> Query:
    """The newest prediction of each entity for the day, its label, and the segments it belongs to."""
    spec = use_case.spec
    key, (score, *_) = spec.entity.key, spec.predictions.columns
    lake = platform.lake
    historic = lake.table(use_case.lake_name("historic")).scan({"scored_for": matured})
    inputs = {**label_inputs(use_case, platform.catalog, lake, matured), "predictions__": Input(historic)}
    segments = joined = ""
    if spec.checks.segments:
        features = lake.table(use_case.lake_name("features")).scan({DAY: matured})
        inputs["features__"] = Input(features)
        listed = ", ".join(f'CAST({sql} AS VARCHAR) AS "segment: {n}"' for n, sql in spec.checks.segments.items())
        segments = f', s.* EXCLUDE ("{key}")'
        joined = f'LEFT JOIN (SELECT "{key}", {listed} FROM features__) AS s ON s."{key}" = p."{key}"'
    return Query(
        f"""
        SELECT p."{score}" AS score__, p.model_version,
               {label_of(use_case, f'l."{key}"', f'l."{spec.labels.column}"')} AS label__{segments}
        FROM (
            SELECT * FROM predictions__
            QUALIFY row_number() OVER (PARTITION BY "{key}" ORDER BY scored_at DESC, run_id DESC) = 1
        ) AS p
        LEFT JOIN ({use_case.labels.text}) AS l ON l."{key}" = p."{key}"
        {joined}
        """,
        inputs,
        {"as_of": as_of(matured, use_case.domain.timezone)} if use_case.labels.uses_as_of else {},
        use_case.domain.timezone,
    )


def _reference(platform: Platform, name: str, version: str) -> HeldOut | None:
    """The quality of the model that scored on its held-out days; None where it was not measured or is gone."""
    try:
        return platform.registry.bundle(name, version).profile.held_out
    except InputError:
        return None


def _numbers(found: Quality) -> dict[str, float]:
    numbers: dict[str, float] = {
        "rows": found.rows,
        "base_rate": round(found.base_rate, 4),
        "mean_score": round(found.mean_score, 4),
        "bias": round(found.bias.value, 4),
        "bias_half_width": round(Z * found.bias.error, 4),
    }
    if found.auc is not None:
        numbers |= {"auc": round(found.auc.value, 4), "auc_half_width": round(Z * found.auc.error, 4)}
    return numbers


def _message(matured: date, found: Quality, lost: Mapping[str, Loss], reference: HeldOut | None) -> str:
    message = f"{found.rows:,} predictions for {matured}: AUC {_interval(found.auc)}"
    message += f" (held out in training {_interval(reference.auc)})" if reference else ""
    message += f", {found.base_rate:.1%} came true and {found.mean_score:.1%} were predicted."
    if not lost:
        return f"{message} Nothing to compare with: the model's bundle has no measured quality."
    name, worst = max(lost.items(), key=lambda item: item[1].least)
    if worst.least > 0:
        message += (
            f" {name} has lost {100 * worst.points:.1f} points, at least {100 * worst.least:.1f} of them beyond chance."
        )
    return message


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown, because hardly any row has the rarer label"
    low, high = (estimate.value + sign * Z * estimate.error for sign in (-1, 1))
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"


def _segments(rows: pa.Table, labels: np.ndarray, scores: np.ndarray, whole: Quality) -> list[dict[str, Any]]:
    """All rows, then each segment's, as rows of a table; segments are shown, not judged: one in 20 would alarm."""
    parts = {("all", ""): whole}
    for column in (name for name in rows.column_names if name.startswith("segment: ")):
        names = np.array([str(value) for value in rows[column].to_pylist()])
        found = by_segment(labels, scores, names)
        parts |= {(column.removeprefix("segment: "), name): quality for name, quality in found.items()}
    return [
        {
            "by": by,
            "segment": name,
            "rows": q.rows,
            "came_true": f"{q.base_rate:.1%}",
            "predicted": f"{q.mean_score:.1%}",
            "auc": _interval(q.auc) if q.auc else "-",
        }
        for (by, name), q in parts.items()
    ]


def _series(
    earlier: Sequence[Mapping[str, dg.MetadataValue]], matured: date, numbers: Mapping[str, float]
) -> dict[date, tuple[float, float]]:
    """AUC and half its interval by matured day, of earlier evaluations and of this one."""
    series = {}
    for metadata in reversed(earlier):
        if {MATURED_DAY, "auc", "auc_half_width"} <= metadata.keys():
            day, auc, half = (metadata[name].value for name in (MATURED_DAY, "auc", "auc_half_width"))
            series[date.fromisoformat(str(day))] = (float(str(auc)), float(str(half)))
    if "auc" in numbers:
        series[matured] = (numbers["auc"], numbers["auc_half_width"])
    return dict(sorted(series.items()))


def _plot(series: Mapping[date, tuple[float, float]], reference: HeldOut, title: str) -> bytes:
    auc, half = (np.array(column) for column in zip(*series.values(), strict=True))
    return quality_plot(list(series), auc, half, reference.auc.value, title)
