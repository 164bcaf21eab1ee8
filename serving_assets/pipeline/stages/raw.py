"""Raw: what the upstream systems delivered, typed by the contract, with the rows that break it kept apart.

Here: the asset of one source. Not here: the reading of files (engines/landing.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import Source
from serving_assets.engines.landing import ingest
from serving_assets.pipeline.checks.rejected import (
    DECLARED_COLUMNS,
    REJECTED_SHARE,
    check_declared_columns,
    check_rejected_share,
)
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import described, measured, written_metadata
from serving_assets.pipeline.stages.step import HEAVY_STAGE, Step, stage_asset


def raw_asset(table: Table, platform: Platform) -> dg.AssetsDefinition:
    """The asset `raw/<source>`."""
    source = table.spec
    assert isinstance(source, Source)
    return stage_asset(
        dg.AssetKey(["raw", table.name]),
        partial(_land, table, source),
        group="raw",
        description=source.description,
        owners=source.owners,
        kinds={source.format, "deltalake"},
        partitions=platform.partitions(table.domain.timezone) if table.daily else None,
        checks=(REJECTED_SHARE, DECLARED_COLUMNS),
        metadata=described(table.lake_name, table.path, columns=table.columns, key=source.key),
        backfill_policy=HEAVY_STAGE if table.daily else None,
    )


def _land(table: Table, source: Source, step: Step) -> dg.MaterializeResult[Any]:
    p = step.platform
    days = step.days if table.daily else None
    with measured() as cost:
        landed = ingest(source, p.settings.landing, days, p.lake, p.engine, table.domain.timezone)
    facts: dict[str, Any] = {"files": landed.files, "rejected_rows": landed.rejected}
    if landed.accepted is None:
        facts |= {"unchanged": True, "rows": landed.rows, **cost.metadata()}
    else:
        facts |= written_metadata(landed.accepted, cost)
    return step.result(facts, [check_rejected_share(source, landed), check_declared_columns(landed)])
