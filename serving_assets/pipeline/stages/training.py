"""Training: the model with its verdict, and the champion that the verdict makes.

Here: two assets of one use case. Not here: the set they learn from (training_set.py), fitting, measuring and judging
(models/), or the use case's train.py.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.models.bundle import Bundle
from serving_assets.models.lifecycle.promotion import GateVerdict, against_champion, gate
from serving_assets.models.lifecycle.registry import CANDIDATE, CHAMPION
from serving_assets.models.packaging import package
from serving_assets.models.plots import calibration_plot, roc_plot
from serving_assets.models.training import Candidate, train_candidate
from serving_assets.pipeline.dagster_instance.step_metadata import (
    described,
    measured,
    picture,
)
from serving_assets.pipeline.observing.last_training import CONDITIONS
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.step import Step, stage_asset
from serving_assets.pipeline.stages.training_set import training_columns, training_set_asset

VERDICT, COMPARED_WITH = "verdict", "compared_with"


def training_assets(use_case: BoundUseCase, platform: Platform) -> list[dg.AssetsDefinition]:
    """Return the assets `<use_case>/training_set`, `<use_case>/model` and `<use_case>/champion`."""
    return [training_set_asset(use_case, platform), _model(use_case), _champion(use_case)]


def _model(use_case: BoundUseCase) -> dg.AssetsDefinition:
    train = use_case.folder / use_case.spec.model.train.partition(":")[0]
    return stage_asset(
        dg.AssetKey([use_case.name, "model"]),
        partial(_fit, use_case),
        group=use_case.name,
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
    columns = map(identifier, training_columns(use_case))  # the table may have further ones, of earlier declarations
    with measured() as cost, tempfile.TemporaryDirectory() as folder:
        training_set = p.engine.collect(Query(f"SELECT {', '.join(columns)} FROM t", {"t": rows}))
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
        group=use_case.name,
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
    for condition in verdict.reasons:
        log = step.context.log.info if condition.passed else step.context.log.warning
        log(
            f"The gate: {condition.name} {'holds' if condition.passed else 'does not hold'}: "
            f"{condition.measured} (demanded: {condition.threshold})"
        )
    columns = [dg.TableColumn("passed", "bool"), *(dg.TableColumn(c) for c in ("name", "measured", "threshold"))]
    reasons = [dg.TableRecord(reason.model_dump()) for reason in verdict.reasons]
    return step.result(
        {
            "champion": registry.champion(name) or "none",
            "candidate": candidate,
            "promoted": verdict.promote,
            CONDITIONS: dg.MetadataValue.table(reasons, schema=dg.TableSchema(columns)),
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
        "labels_not_known_yet": candidate.unlabelled,
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
