"""Training: the point-in-time training set, the model with its verdict, and the champion that the verdict makes.

Here: three assets of one use case. Not here: fitting, measuring and judging (models/), or the use case's train.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import Column, optional, required
from serving_assets.catalog.discovery import BoundUseCase, Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.models.bundle import Bundle
from serving_assets.models.lifecycle.promotion import GateVerdict, against_champion, gate
from serving_assets.models.lifecycle.registry import CANDIDATE, CHAMPION
from serving_assets.models.packaging import package
from serving_assets.models.plots import calibration_plot, roc_plot
from serving_assets.models.training import BASELINE, Candidate, train_candidate
from serving_assets.pipeline.dagster_instance.step_metadata import (
    described,
    measured,
    picture,
    table_lineage,
    written_metadata,
)
from serving_assets.pipeline.days import as_of, feature_inputs, label_inputs, last_days
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import feature_columns
from serving_assets.pipeline.stages.input_gates import refuse_unfit_table
from serving_assets.pipeline.stages.step import THE_ENGINE, Step, stage_asset

THROUGH = {
    "through": dg.Field(
        str,
        is_required=False,
        description="Newest day that may be looked at, YYYY-MM-DD; default: the newest there is.",
    )
}
VERDICT, COMPARED_WITH = "verdict", "compared_with"


def training_assets(use_case: BoundUseCase, platform: Platform) -> list[dg.AssetsDefinition]:
    """The assets `<use_case>/training_set`, `<use_case>/model` and `<use_case>/champion`."""
    return [_training_set(use_case, platform), _model(use_case), _champion(use_case)]


def as_of_days(use_case: BoundUseCase, first: date, through: date) -> list[date]:
    """The days that training looks back from, oldest first: those whose label is known and whose window is whole.

    Raises:
        InputError: when the history is too short to hold out what the model declares and still train.
    """
    model, features = use_case.spec.model, use_case.spec.features
    newest = through - timedelta(days=use_case.spec.labels.horizon_days)
    oldest = first + timedelta(days=features.window_days - 1)
    days = [newest - timedelta(days=model.every_days * back) for back in range(model.as_ofs)]
    whole = sorted(day for day in days if day >= oldest)
    if len(whole) <= model.holdout + 1:
        raise InputError(
            f"{use_case.name}: from {first} to {through} there are {len(whole)} as-of days with a whole window of "
            f"{features.window_days} days before and a known label after; {model.holdout} are held out.",
            hint=f"Backfill {model.holdout + 2} or more as-of days, {model.every_days} apart, or lower model.holdout.",
        )
    return whole


def training_query(use_case: BoundUseCase, platform: Platform, day: date) -> Query:
    """Features, label and baselines as of the end of `day`."""
    spec = use_case.spec
    features = feature_inputs(use_case, platform.catalog, platform.lake, day)
    labels = label_inputs(use_case, platform.catalog, platform.lake, day)
    baselines = "".join(f', CAST({b.expression} AS DOUBLE) AS "{BASELINE}{b.name}"' for b in spec.model.baselines)
    key, label = spec.entity.key, spec.labels.column
    uses_as_of = use_case.features.uses_as_of or use_case.labels.uses_as_of
    return Query(
        f"""
        SELECT CAST('{day}' AS DATE) AS {DAY}, f.*,
               CAST(coalesce(l.found, {spec.labels.default_label}) AS DOUBLE) AS "{label}"{baselines}
        FROM ({_scoped(use_case.features.text, "features", features)}) AS f
        LEFT JOIN (
            SELECT "{key}" AS entity, "{label}" AS found
            FROM ({_scoped(use_case.labels.text, "labels", labels)}) AS labelled
        ) AS l ON l.entity = f."{key}"
        """,
        {f"features__{n}": i for n, i in features.items()} | {f"labels__{n}": i for n, i in labels.items()},
        {"as_of": as_of(day, use_case.domain.timezone)} if uses_as_of else {},
        use_case.domain.timezone,
    )


def _scoped(sql: str, prefix: str, inputs: Iterable[str]) -> str:
    """`sql` with its inputs bound to views of a prefix: features and labels see different days of the same table."""
    views = ", ".join(f'"{name}" AS (SELECT * FROM "{prefix}__{name}")' for name in inputs)
    return f"WITH {views} SELECT * FROM ({sql}) AS scoped"


def _training_set(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    spec = use_case.spec
    tables = platform.catalog.tables
    keys = {name: dg.AssetKey([tables[name].layer, name]) for name in (*spec.features.inputs, *spec.labels.inputs)}
    labels = use_case.labels.lineage({name: tables[name].schema for name in spec.labels.inputs})
    return stage_asset(
        dg.AssetKey([use_case.name, "training_set"]),
        partial(_build, use_case),
        group="training",
        description=f"What was known at the end of up to {spec.model.as_ofs} days, with what happened after each.",
        owners=spec.owners,
        kinds={"sql", THE_ENGINE, "deltalake"},
        deps=list(keys.values()),
        metadata=described(
            use_case.lake_name("training_set"),
            use_case.features.path,
            use_case.labels.path,
            columns=_training_columns(use_case),
            lineage=table_lineage({**use_case.feature_lineage, **labels}, keys),
        ),
        config=THROUGH,
        compute=spec.compute.get("training_set"),
    )


def _training_columns(use_case: BoundUseCase) -> dict[str, Column]:
    model, label = use_case.spec.model, use_case.spec.labels.column
    return {
        DAY: required("date", "The day at whose end the features look."),
        **feature_columns(use_case),
        label: required("float64", "What happened after that day."),
        **{f"{BASELINE}{b.name}": optional("float64", f"A ranking to beat: {b.expression}") for b in model.baselines},
    }


def _build(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, spec, instance = step.platform, use_case.spec, step.context.instance
    partitions = p.partitions(use_case.domain.timezone)
    tables = [p.catalog.tables[name] for name in dict.fromkeys((*spec.features.inputs, *spec.labels.inputs))]
    daily = [table for table in tables if table.daily]
    through = step.context.op_execution_context.op_config.get("through")
    newest = date.fromisoformat(through) if through else _newest_day(instance, daily, use_case.name)
    days = as_of_days(use_case, partitions.start.date(), newest)
    read = DayRange(last_days(days[0], spec.features.window_days).first, newest)
    for table in tables:
        refuse_unfit_table(instance, partitions, table, read if table.daily else None, str(step))
    queries = [training_query(use_case, p, day) for day in days]
    target = Target(p.lake.table(use_case.lake_name("training_set")), partition_by=(DAY,))
    with measured() as cost:
        written = p.engine.transform(queries, target)
    facts = {"as_of_days": len(days), "oldest": str(days[0]), "newest": str(days[-1])}
    return step.result(written_metadata(written, cost, partitioned=False) | facts)


def _newest_day(instance: dg.DagsterInstance, tables: list[Table], name: str) -> date:
    """The newest day that all daily inputs have."""
    found = [instance.get_materialized_partitions(dg.AssetKey([table.layer, table.name])) for table in tables]
    if not all(found):
        raise InputError(f"{name}: the daily inputs are empty.", hint="Backfill them: serving-assets backfill.")
    return date.fromisoformat(min(max(days) for days in found))


def _model(use_case: BoundUseCase) -> dg.AssetsDefinition:
    train = use_case.folder / use_case.spec.model.train.partition(":")[0]
    return stage_asset(
        dg.AssetKey([use_case.name, "model"]),
        partial(_fit, use_case),
        group="training",
        description="The candidate: trained, measured on held-out days against the baselines, compiled, registered.",
        owners=use_case.spec.owners,
        kinds={"sklearn", "mlflow", "onnx"},
        deps=[dg.AssetKey([use_case.name, "training_set"])],
        metadata=described(None, train),
        compute=use_case.spec.compute.get("model"),
    )


def _fit(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p = step.platform
    rows = Input(p.lake.table(use_case.lake_name("training_set")).scan())
    with measured() as cost, tempfile.TemporaryDirectory() as folder:
        training_set = p.engine.collect(Query("SELECT * FROM t", {"t": rows}))
        candidate = train_candidate(use_case.spec, training_set, use_case.train, threads=p.settings.engine_threads)
        bundle = package(candidate, Path(folder) / "bundle")
        current = p.registry.champion(use_case.name)
        verdict = _judge(use_case, candidate, bundle, p.registry.bundle(use_case.name, current) if current else None)
        plots = _plots(candidate)
        facts = _facts(candidate) | {"form": bundle.form, "form_reason": bundle.manifest.reason}
        version = p.registry.log_and_register(
            candidate,
            bundle,
            params={"train_rows": candidate.train_rows, "features": len(candidate.signature.names)},
            metrics={name: value for name, value in facts.items() if isinstance(value, float)},
            tags={
                "training_set_version": str(rows.scan.version),
                "dagster_run_id": step.context.run.run_id,
                VERDICT: verdict.model_dump_json(),
                COMPARED_WITH: current or "",
            },
            plots={f"{name}.png": png for name, png in plots.items()},
        )
    p.registry.set_alias(use_case.name, CANDIDATE, version)
    pictures = {name: picture(png, name) for name, png in plots.items()}
    return step.result({"model_version": version, **facts, **cost.metadata(), **pictures})


def _judge(use_case: BoundUseCase, candidate: Candidate, bundle: Bundle, champion: Bundle | None) -> GateVerdict:
    compared = against_champion(candidate, champion.scorer()) if champion else None
    outputs, conditions = tuple(use_case.spec.predictions.columns), use_case.spec.model.promote_if
    return gate(candidate.metrics, candidate.baselines, compared, bundle, outputs, conditions)


def _champion(use_case: BoundUseCase) -> dg.AssetsDefinition:
    return stage_asset(
        dg.AssetKey([use_case.name, "champion"]),
        partial(_promote, use_case),
        group="training",
        description="The version that scores. A candidate takes its place when every condition of the gate holds.",
        owners=use_case.spec.owners,
        kinds={"mlflow"},
        deps=[dg.AssetKey([use_case.name, "model"])],
        metadata=described(None, use_case.folder / "use_case.py"),
        pool=f"{use_case.name}_champion",
        compute=use_case.spec.compute.get("champion"),
    )


def _promote(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    registry, name = step.platform.registry, use_case.name
    candidate, current = registry.alias(name, CANDIDATE), registry.champion(name)
    if candidate is None:
        raise InputError(f"{name} has no candidate.", hint=f"Materialize {name}/model first.")
    tags = registry.tags(name, candidate)
    verdict = GateVerdict.model_validate_json(tags[VERDICT])
    if candidate != current and tags[COMPARED_WITH] != (current or ""):
        raise InputError(
            f"{name}: version {candidate} was compared with champion {tags[COMPARED_WITH] or 'none'}, and the champion "
            f"is {current or 'none'} now.",
            hint=f"Materialize {name}/model again, so that it is compared with the present one.",
        )
    if verdict.promote and candidate != current:
        registry.set_alias(name, CHAMPION, candidate)
    columns = [dg.TableColumn("passed", "bool"), *(dg.TableColumn(c) for c in ("name", "measured", "threshold"))]
    reasons = [dg.TableRecord(reason.model_dump()) for reason in verdict.reasons]
    return step.result(
        {
            "champion": registry.champion(name) or "none",
            "candidate": candidate,
            "promoted": verdict.promote,
            "reasons": dg.MetadataValue.table(reasons, schema=dg.TableSchema(columns)),
        }
    )


def _facts(candidate: Candidate) -> dict[str, Any]:
    """The measured numbers, as floats where a plot over time makes sense."""
    metrics = candidate.metrics
    facts: dict[str, Any] = {
        "auc": metrics.auc,
        "log_loss": metrics.log_loss,
        "brier": metrics.brier,
        "calibration_error": metrics.calibration_error,
        "holdout_rows": metrics.rows,
        "train_rows": candidate.train_rows,
        "holdout_from": str(candidate.split.holdout[0]),
        "holdout_to": str(candidate.split.holdout[-1]),
    }
    for name, difference in candidate.baselines.items():
        facts |= {
            f"auc_{name}": difference.other_auc,
            f"auc_gain_over_{name}": difference.difference,
            f"auc_gain_over_{name}_low": difference.low,
            f"auc_gain_over_{name}_high": difference.high,
        }
    return facts


def _plots(candidate: Candidate) -> dict[str, bytes]:
    return {
        "calibration": calibration_plot(candidate.metrics, candidate.name),
        "roc": roc_plot(candidate.labels, {"model": candidate.scores, **candidate.baseline_scores}, candidate.name),
    }
