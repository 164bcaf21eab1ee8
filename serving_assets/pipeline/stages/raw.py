"""Raw: what the upstream systems delivered, typed by the contract, with the rows that break it kept apart.

Here: the asset of one source. Not here: the reading of files (landing/ingest.py).
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.protocol import Input
from serving_assets.lake import DayRange, Lake
from serving_assets.landing.ingest import ingest
from serving_assets.landing.zone import LandingZone
from serving_assets.pipeline.checks.files_read import FILES_READ, MOST_NAMED, check_files_read
from serving_assets.pipeline.checks.lag import PARTITION_LAG, check_partition_lag
from serving_assets.pipeline.checks.rejected import (
    DECLARED_COLUMNS,
    REJECTED_SHARE,
    check_declared_columns,
    check_rejected_share,
)
from serving_assets.pipeline.checks.typical_amounts import (
    NEWEST,
    TYPICAL_AMOUNTS,
    check_typical_amounts,
    facts_of_days,
    recorded_facts,
)
from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.pipeline.checks.volume import VOLUME, check_daily_volume, check_volume
from serving_assets.pipeline.dagster_instance.step_metadata import daily_metadata, described, measured, written_metadata
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy.erasure_register import left_out
from serving_assets.pipeline.stages.step import HEAVY_STAGE, Step, stage_asset


def raw_asset(table: Table, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `raw/<source>`."""
    source = table.spec
    assert isinstance(source, Source)
    return stage_asset(
        dg.AssetKey(["raw", table.name]),
        partial(_land, table, source),
        group=table.domain.name,
        description=source.description,
        owners=source.owners,
        kinds={source.format, "deltalake"},
        partitions=platform.partitions(table.domain.timezone) if table.daily else None,
        checks=checks_of(table),
        metadata=described(table.lake_name, table.path, columns=table.columns, key=source.key),
        backfill_policy=HEAVY_STAGE if table.daily else None,
        compute=source.compute,
    )


def checks_of(table: Table) -> tuple[Check, ...]:
    """Return the checks on a source; only one that arrives day by day has a newest day and a rhythm of amounts."""
    always = (REJECTED_SHARE, DECLARED_COLUMNS, FILES_READ, VOLUME)
    return (*always, TYPICAL_AMOUNTS, PARTITION_LAG) if table.daily else always


def _land(table: Table, source: Source, step: Step) -> dg.MaterializeResult[Any]:
    p = step.platform
    days = step.days if table.daily else None
    with measured() as cost:
        erased = left_out(p, table)
        landed = ingest(source, LandingZone.of(p.settings), days, p.lake, p.engine, table.domain.timezone, erased)
    facts: dict[str, Any] = {"files": landed.files, "rejected_rows": landed.rejected}
    if landed.unread:
        facts["files_not_read"] = [f"{path}: {why}" for path, why in landed.unread[:MOST_NAMED]]
    if landed.accepted is None:
        facts |= {"unchanged": True, "rows": landed.rows, "dagster/row_count": landed.rows, **cost.metadata()}
    else:
        facts |= written_metadata(landed.accepted, cost, partitioned=table.daily)
    of_days = _of_days(p.lake, table, days, landed.accepted.version) if days and landed.accepted else {}
    counts = {str(day): (one["rows"], one["rejected_rows"]) for day, one in of_days.items()}
    counts = counts or {source.name: (landed.rows, landed.rejected)}
    verdicts = [check_rejected_share(source, landed, counts), check_declared_columns(landed)]
    verdicts.append(check_files_read(source, landed))
    if days is None or landed.accepted is None:
        instance = step.context.instance
        verdicts.append(check_volume(instance, step.asset, landed.rows, source.checks, empty=source.may_be_empty))
        return step.result(facts, verdicts)
    found, more = _watch(table, source, step, days, landed.accepted.version)
    recorded = {day: {**of_day, **found.get(day, {})} for day, of_day in of_days.items()}
    return step.result(facts, verdicts + more, recorded)


def _watch(
    table: Table, source: Source, step: Step, days: DayRange, version: int
) -> tuple[dict[date, dict[str, Any]], list[Verdict]]:
    """Return what is recorded of each day of a landing besides its rows, and the verdicts on it."""
    p, instance, stored = step.platform, step.context.instance, step.platform.lake.table(table.lake_name)
    facts = facts_of_days(p.engine, table, Input(stored.scan({DAY: days}, version=version)))
    newest = max([days.last, *map(date.fromisoformat, instance.get_materialized_partitions(step.asset))])
    row = facts[newest][NEWEST] if newest in facts else None
    timezone = table.domain.timezone
    now = datetime.now(UTC)
    verdicts = [
        check_daily_volume(instance, step.asset, stored, days, version, source.checks, empty=source.may_be_empty),
        check_typical_amounts(instance, step.asset, table, facts),
        check_partition_lag(newest, timezone, now, source.checks, newest_row=row, backfilled=len(days)),
    ]
    return {day: recorded_facts(one) for day, one in facts.items()}, verdicts


def _of_days(lake: Lake, table: Table, days: DayRange, version: int) -> dict[date, dict[str, int]]:
    """Return the rows, bytes and quarantined rows of each day of a landing."""
    rejected = Counter[object]()
    for file in lake.table(table.quarantine).scan({DAY: days}).files(check=False):
        rejected[file.partition[DAY]] += file.rows
    found = daily_metadata(lake.table(table.lake_name), days, version)
    return {day: {**one, "rejected_rows": rejected[day]} for day, one in found.items()}
