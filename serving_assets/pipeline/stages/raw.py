"""Raw: what the upstream systems delivered, typed by the contract, with the rows that break it kept apart.

Here: the asset of one source. Not here: the reading of files (engines/landing.py).
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.landing import ingest
from serving_assets.lake import DayRange, Lake
from serving_assets.pipeline.checks.rejected import (
    DECLARED_COLUMNS,
    REJECTED_SHARE,
    check_declared_columns,
    check_rejected_share,
)
from serving_assets.pipeline.erasures import left_out
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import daily_metadata, described, measured, written_metadata
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
        erased = left_out(p, table)
        landed = ingest(source, p.settings.landing, days, p.lake, p.engine, table.domain.timezone, erased)
    facts: dict[str, Any] = {"files": landed.files, "rejected_rows": landed.rejected}
    if landed.accepted is None:
        facts |= {"unchanged": True, "rows": landed.rows, "dagster/row_count": landed.rows, **cost.metadata()}
    else:
        facts |= written_metadata(landed.accepted, cost, partitioned=table.daily)
    of_days = _of_days(p.lake, table, days, landed.accepted.version) if days and landed.accepted else {}
    counts = {str(day): (told["rows"], told["rejected_rows"]) for day, told in of_days.items()}
    counts = counts or {source.name: (landed.rows, landed.rejected)}
    return step.result(facts, [check_rejected_share(source, landed, counts), check_declared_columns(landed)], of_days)


def _of_days(lake: Lake, table: Table, days: DayRange, version: int) -> dict[date, dict[str, int]]:
    """What each day of a landing became."""
    rejected = Counter[object]()
    for file in lake.table(f"{table.lake_name}__rejected").scan({DAY: days}).files(check=False):
        rejected[file.partition[DAY]] += file.rows
    found = daily_metadata(lake.table(table.lake_name), days, version)
    return {day: {**told, "rejected_rows": rejected[day]} for day, told in found.items()}
