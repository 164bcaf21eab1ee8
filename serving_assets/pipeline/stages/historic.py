"""Historic: every prediction ever made, with what it was made for, when, by which model and run.

Here: the asset of one use case's historic table. Not here: which of them counts today (latest.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.query import Input, Query, Target
from serving_assets.lake import Where
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import code_references, measured, written_metadata
from serving_assets.pipeline.stages.step import Step, stage_asset


def historic_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """The asset `<use_case>/historic`. A retry of a run replaces its own rows; a new run adds its rows."""
    spec = use_case.spec
    columns = ", ".join((spec.entity.key, *spec.predictions.columns))
    predictions = dg.AssetKey([use_case.name, "predictions"])

    def append(step: Step) -> dg.MaterializeResult[Any]:
        p, day = step.platform, step.day
        query = Query(
            f"SELECT {columns}, model_version, {DAY} AS scored_for, CAST($scored_at AS TIMESTAMPTZ) AS scored_at, "
            "CAST($run_id AS VARCHAR) AS run_id FROM predictions",
            {"predictions": Input(p.lake.table(use_case.lake_name("predictions")).scan({DAY: day}))},
            {"scored_at": datetime.now(UTC), "run_id": step.run_id},
        )
        where: Where = {"scored_for": day, "run_id": step.run_id}
        table = p.lake.table(use_case.lake_name("historic"))
        with measured() as cost:
            written = p.engine.transform([query], Target(table, where, ("scored_for", "run_id")))
        return step.result(written_metadata(written, cost))

    return stage_asset(
        dg.AssetKey([use_case.name, "historic"]),
        append,
        group="historic",
        description="Every prediction ever made: for which day, when, by which model version and run. Append-only by run.",
        owners=spec.owners,
        kinds={"duckdb", "deltalake"},
        deps=[predictions],
        partitions=platform.partitions(use_case.domain.timezone),
        metadata={
            **dict(dg.TableMetadataSet(table_name=use_case.lake_name("historic"))),
            **code_references(use_case.folder / "use_case.py"),
        },
    )
