"""Mapped: raw tables cleaned, renamed and aggregated to the smallest grain that features need.

Here: the asset of one mapped table. Not here: its SQL (catalog/domains/).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.lake import DayRange
from serving_assets.pipeline.checks.contract import CONTRACT, check_contract
from serving_assets.pipeline.checks.totals import TOTALS, check_totals
from serving_assets.pipeline.checks.volume import VOLUME, check_daily_volume, check_volume, may_be_empty
from serving_assets.pipeline.dagster_instance.step_metadata import (
    daily_metadata,
    described,
    measured,
    table_lineage,
    written_metadata,
)
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.input_gates import refuse_unfit_table
from serving_assets.pipeline.stages.step import HEAVY_STAGE, THE_ENGINE, Step, stage_asset


def mapped_asset(table: Table, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `mapped/<table>`."""
    assert table.statement is not None
    keys = {name: dg.AssetKey([platform.catalog.tables[name].layer, name]) for name in table.inputs}
    lineage = table_lineage(table.lineage or {}, keys)
    key = table.spec.key
    return stage_asset(
        dg.AssetKey(["mapped", table.name]),
        partial(_map, table),
        group=table.domain.name,
        description=table.spec.description,
        owners=table.spec.owners,
        kinds={"sql", THE_ENGINE, "deltalake"},
        deps=list(keys.values()),
        partitions=platform.partitions(table.domain.timezone) if table.daily else None,
        checks=(CONTRACT, VOLUME, TOTALS) if table.daily else (CONTRACT, VOLUME),
        metadata=described(
            table.lake_name, table.statement.path, table.path, columns=table.columns, key=key, lineage=lineage
        ),
        backfill_policy=HEAVY_STAGE if table.daily else None,
        compute=table.spec.compute,
    )


def mapped_query(table: Table, platform: Platform, days: DayRange | None) -> Query:
    """The SQL of a mapped table over `days` of its daily inputs, all with None, and over snapshots as they are."""
    assert table.statement is not None
    sources = {name: platform.catalog.tables[name] for name in table.inputs}
    where = {DAY: days} if days else None
    inputs = {n: Input(platform.lake.table(t.lake_name).scan(where if t.daily else None)) for n, t in sources.items()}
    return Query(table.statement.text, inputs, timezone=table.domain.timezone)


def _map(table: Table, step: Step) -> dg.MaterializeResult[Any]:
    """Run the SQL over the same days of daily inputs, and over snapshots as they are."""
    assert table.statement is not None
    p = step.platform
    where = {DAY: step.days} if table.daily else None
    sources = {name: p.catalog.tables[name] for name in table.inputs}
    for source in sources.values():
        read = step.days if source.daily else None
        refuse_unfit_table(step.context.instance, p.first_day(table.domain), source, read, str(step))
    stored = p.lake.table(table.lake_name)
    with measured() as cost:
        written = p.engine.transform(
            [mapped_query(table, p, step.days if table.daily else None)],
            Target(stored, where, (DAY,) if table.daily else ()),
        )
    key = (DAY, *table.spec.key) if table.daily and DAY not in table.spec.key else table.spec.key
    thresholds, empty = table.spec.checks, may_be_empty(table, p.catalog)
    verdicts = [
        check_contract(p.engine, Input(stored.scan(where, version=written.version)), key, table.columns),
        check_daily_volume(
            step.context.instance, step.asset, stored, step.days, written.version, thresholds, empty=empty
        )
        if table.daily
        else check_volume(step.context.instance, step.asset, written.rows, thresholds),
    ]
    if table.daily:
        verdicts.append(check_totals(p.engine, table, stored, step.days, written.version))
    of_days = daily_metadata(stored, step.days, written.version) if table.daily else None
    return step.result(written_metadata(written, cost, partitioned=table.daily), verdicts, of_days)
