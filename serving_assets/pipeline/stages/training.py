"""Training: the point-in-time training set, the model with its verdict, and the champion that the verdict makes.

Here: three assets of one use case. Not here: fitting, measuring and judging (models/), or the use case's train.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY, LastDays, NextDays
from serving_assets.engines.query import Input, Query, Target
from serving_assets.errors import ConflictError, InputError
from serving_assets.lake import DayRange
from serving_assets.models.packaging import package
from serving_assets.models.plots import calibration_plot, roc_plot
from serving_assets.models.promotion import Verdict, against_champion, gate
from serving_assets.models.registry import CANDIDATE, CHAMPION
from serving_assets.models.training import BASELINE, Candidate, train_candidate
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import code_references, measured, picture, written_metadata
from serving_assets.pipeline.stages.step import Step, stage_asset
from serving_assets.pipeline.windows import as_of, feature_inputs, label_inputs, last_days, refuse_gaps

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
            mend=f"Backfill at least {model.holdout + 2} as-of days, {model.every_days} days apart, or lower model.holdout.",
        )
    return whole


def training_query(use_case: BoundUseCase, platform: Platform, day: date) -> Query:
    """Features, label and baselines as of the end of `day`."""
    spec = use_case.spec
    features = feature_inputs(use_case, platform.catalog, platform.lake, day)
    labels = label_inputs(use_case, platform.catalog, platform.lake, day)
    baselines = "".join(f', CAST({b.expression} AS DOUBLE) AS "{BASELINE}{b.name}"' for b in spec.model.baselines)
    key, label = spec.entity.key, spec.labels.column
    return Query(
        f"""
        SELECT CAST('{day}' AS DATE) AS {DAY}, f.*,
               CAST(coalesce(l.found, {spec.labels.otherwise}) AS DOUBLE) AS "{label}"{baselines}
        FROM ({_scoped(use_case.features.text, "features", features)}) AS f
        LEFT JOIN (
            SELECT "{key}" AS entity, "{label}" AS found FROM ({_scoped(use_case.labels.text, "labels", labels)}) AS labelled
        ) AS l ON l.entity = f."{key}"
        """,
        {f"features__{n}": i for n, i in features.items()} | {f"labels__{n}": i for n, i in labels.items()},
        {"as_of": as_of(day, use_case.domain.timezone)},
        use_case.domain.timezone,
    )


def _scoped(sql: str, prefix: str, inputs: Iterable[str]) -> str:
    """`sql` with its inputs bound to views of a prefix: features and labels see different days of the same table."""
    views = ", ".join(f'"{name}" AS (SELECT * FROM "{prefix}__{name}")' for name in inputs)
    return f"WITH {views} SELECT * FROM ({sql}) AS scoped"


def _training_set(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    spec = use_case.spec
    tables = platform.catalog.tables
    partitions = platform.partitions(use_case.domain.timezone)
    windows = [*spec.features.inputs.items(), *spec.labels.inputs.items()]
    daily = [tables[name] for name, window in windows if isinstance(window, LastDays | NextDays)]

    def newest_day(step: Step) -> date:
        found = [step.context.instance.get_materialized_partitions(dg.AssetKey([t.layer, t.name])) for t in daily]
        if not all(found):
            raise InputError(
                f"{use_case.name}: the daily inputs are empty.", mend="Backfill them: serving-assets backfill."
            )
        return date.fromisoformat(min(max(days) for days in found))

    def build(step: Step) -> dg.MaterializeResult[Any]:
        p = step.platform
        through = step.context.op_execution_context.op_config.get("through")
        newest = date.fromisoformat(through) if through else newest_day(step)
        days = as_of_days(use_case, partitions.start.date(), newest)
        read = DayRange(last_days(days[0], spec.features.window_days).first, newest)
        for table in {table.name: table for table in daily}.values():
            refuse_gaps(step.context.instance, partitions, table, read, f"{use_case.name}: training")
        queries = [training_query(use_case, p, day) for day in days]
        target = Target(p.lake.table(use_case.lake_name("training_set")), partition_by=(DAY,))
        with measured() as cost:
            written = p.engine.transform(queries, target)
        facts = {"as_of_days": len(days), "oldest": str(days[0]), "newest": str(days[-1])}
        return step.result(written_metadata(written, cost) | facts)

    return stage_asset(
        dg.AssetKey([use_case.name, "training_set"]),
        build,
        group="training",
        description=f"What was known at the end of up to {spec.model.as_ofs} days, with what happened after each.",
        owners=spec.owners,
        kinds={"sql", "duckdb", "deltalake"},
        deps=[dg.AssetKey([tables[name].layer, name]) for name in {name: None for name, _ in windows}],
        metadata=code_references(use_case.features.path, use_case.labels.path),
        config=THROUGH,
    )


def _model(use_case: BoundUseCase) -> dg.AssetsDefinition:
    spec = use_case.spec

    def fit(step: Step) -> dg.MaterializeResult[Any]:
        p = step.platform
        rows = Input(p.lake.table(use_case.lake_name("training_set")).scan())
        with measured() as cost:
            training_set = p.engine.collect(Query("SELECT * FROM t", {"t": rows}))
            candidate = train_candidate(spec, training_set, use_case.train, threads=p.settings.engine_threads)
            current = p.registry.champion(use_case.name)
            with tempfile.TemporaryDirectory() as folder:
                bundle = package(candidate, Path(folder) / "bundle")
                champion = p.registry.bundle(use_case.name, current).scorer() if current else None
                compared = against_champion(candidate, champion) if champion else None
                verdict = gate(
                    candidate.metrics,
                    candidate.baselines,
                    compared,
                    bundle,
                    tuple(spec.predictions.columns),
                    spec.model.promote_if,
                )
                plots = _plots(candidate)
                facts = _facts(candidate) | {"form": bundle.form, "form_reason": bundle.manifest.reason}
                version = p.registry.log_and_register(
                    candidate,
                    bundle,
                    params={"train_rows": candidate.train_rows, "features": len(candidate.signature.names)},
                    metrics={name: value for name, value in facts.items() if isinstance(value, float)},
                    tags={
                        "training_set_version": str(rows.scan.version),
                        "dagster_run_id": step.context.run_id,
                        VERDICT: verdict.model_dump_json(),
                        COMPARED_WITH: current or "",
                    },
                    plots={f"{name}.png": png for name, png in plots.items()},
                )
        p.registry.set_alias(use_case.name, CANDIDATE, version)
        pictures = {name: picture(png, name) for name, png in plots.items()}
        return step.result({"model_version": version, **facts, **cost.metadata(), **pictures})

    return stage_asset(
        dg.AssetKey([use_case.name, "model"]),
        fit,
        group="training",
        description="The candidate: trained, measured on held-out days against the baselines, compiled, registered in MLflow.",
        owners=spec.owners,
        kinds={"sklearn", "mlflow", "onnx"},
        deps=[dg.AssetKey([use_case.name, "training_set"])],
        metadata=code_references(use_case.folder / spec.model.train.partition(":")[0]),
    )


def _champion(use_case: BoundUseCase) -> dg.AssetsDefinition:
    def promote(step: Step) -> dg.MaterializeResult[Any]:
        registry = step.platform.registry
        candidate, current = registry.alias(use_case.name, CANDIDATE), registry.champion(use_case.name)
        if candidate is None:
            raise InputError(f"{use_case.name} has no candidate.", mend=f"Materialize {use_case.name}/model first.")
        tags = registry.tags(use_case.name, candidate)
        verdict = Verdict.model_validate_json(tags[VERDICT])
        if candidate != current and tags[COMPARED_WITH] != (current or ""):
            raise ConflictError(
                f"{use_case.name}: version {candidate} was compared with champion {tags[COMPARED_WITH] or 'none'}, and the "
                f"champion is {current} now.",
                mend=f"Materialize {use_case.name}/model again, so that it is compared with the present one.",
            )
        if verdict.promote and candidate != current:
            registry.set_alias(use_case.name, CHAMPION, candidate)
        reasons = [dg.TableRecord(reason.model_dump()) for reason in verdict.reasons]
        columns = [dg.TableColumn("passed", "bool"), *(dg.TableColumn(n) for n in ("name", "measured", "threshold"))]
        return step.result(
            {
                "champion": registry.champion(use_case.name) or "none",
                "candidate": candidate,
                "promoted": verdict.promote,
                "reasons": dg.MetadataValue.table(reasons, schema=dg.TableSchema(columns)),
            }
        )

    return stage_asset(
        dg.AssetKey([use_case.name, "champion"]),
        promote,
        group="training",
        description="The version that scores. A candidate takes its place when every condition of the gate holds.",
        owners=use_case.spec.owners,
        kinds={"mlflow"},
        deps=[dg.AssetKey([use_case.name, "model"])],
        metadata=code_references(use_case.folder / "use_case.py"),
        pool=f"{use_case.name}_champion",
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
