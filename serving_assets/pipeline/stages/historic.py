"""Historic: every prediction ever made, with what it was made for, when, by which model and run.

Here: the asset of one use case's historic table. Not here: which of them counts today (latest.py).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import Column, identifier, required
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.lake import LakeTable, Where
from serving_assets.pipeline.checks.quality import MATURED_QUALITY, check_matured_quality
from serving_assets.pipeline.dagster_instance.step_metadata import described, handed_on, measured, written_metadata
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.predictions import CHECKS, FEATURES_VERSION, SCORED_DAY, prediction_columns
from serving_assets.pipeline.stages.step import THE_ENGINE, Step, stage_asset


def historic_columns(use_case: BoundUseCase) -> dict[str, Column]:
    """Return the columns of historic and latest: those of the predictions, and where each row comes from."""
    return {
        **prediction_columns(use_case),
        "scored_for": required("date", "The day at whose end the prediction looks."),
        "scored_at": required("timestamp", "When it was made."),
        "run_id": required("string", "The run that made it."),
        "features_version": Column(dtype="int64", description="The version of features that it was made from."),
    }


def features_version(predictions: LakeTable, day: date, version: int) -> int | None:
    """Return the version of `features` from which `day` was predicted; None when the log no longer holds it."""
    for limit in (1, 10, None):  # as a rule this day's predictions are the newest commit, or near it beside other runs
        for commit in predictions.history(limit):
            recorded = commit["metadata"]
            if commit["version"] <= version and recorded.get(SCORED_DAY) == str(day):
                return int(recorded[FEATURES_VERSION])
    return None


def historic_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `<use_case>/historic`. A retry of a run replaces its own rows; a new run adds its rows."""
    predictions = dg.AssetKey([use_case.name, "predictions"])
    lineage = handed_on(prediction_columns(use_case), predictions)
    lineage["scored_for"] = [dg.TableColumnDep(asset_key=predictions, column_name=DAY)]
    return stage_asset(
        dg.AssetKey([use_case.name, "historic"]),
        partial(_append, use_case),
        group=use_case.name,
        description="Every prediction ever made: for which day, when, by which model and run. Append-only by run.",
        owners=use_case.spec.owners,
        kinds={THE_ENGINE, "deltalake"},
        deps=[predictions],
        partitions=platform.partitions(use_case.domain.timezone),
        checks=(MATURED_QUALITY,),
        metadata=described(
            use_case.lake_name("historic"),
            use_case.folder / "use_case.py",
            columns=historic_columns(use_case),
            lineage=dg.TableColumnLineage(lineage),
        ),
        compute=use_case.spec.compute.get("historic"),
    )


def _append(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, day, spec = step.platform, step.day, use_case.spec
    step.refuse_failed("predictions", CHECKS, step.days)
    scored = p.lake.table(use_case.lake_name("predictions"))
    predictions = scored.scan({DAY: day})
    if not predictions.rows():
        raise InputError(f"{use_case.name} has no predictions for {day}.", hint="Materialize predictions for it first.")
    columns = ", ".join(map(identifier, (spec.entity.key, *spec.predictions.columns)))
    query = Query(
        f"SELECT {columns}, model_version, {DAY} AS scored_for, CAST($scored_at AS TIMESTAMPTZ) AS scored_at, "
        "CAST($run_id AS VARCHAR) AS run_id, CAST($features_version AS BIGINT) AS features_version FROM predictions",
        {"predictions": Input(predictions)},
        {
            "scored_at": datetime.now(UTC),
            "run_id": step.run_id,
            "features_version": features_version(scored, day, predictions.version),
        },
    )
    where: Where = {"scored_for": day, "run_id": step.run_id}
    table = p.lake.table(use_case.lake_name("historic"))
    with measured() as cost:
        written = p.engine.transform([query], Target(table, where, ("scored_for", "run_id")))
    quality = check_matured_quality(use_case, p, step.context.instance, step.asset, day, pictured=step.pictured)
    return step.result(written_metadata(written, cost), [quality])
