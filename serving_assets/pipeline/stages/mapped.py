"""Mapped: raw tables cleaned, renamed and aggregated to the smallest grain that features need.

Here: the asset of one mapped table. Not here: its SQL (catalog/domains/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.query import Input, Query, Target
from serving_assets.pipeline.checks.contract import CONTRACT, check_contract
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import code_references, measured, table_lineage, table_schema, written_metadata
from serving_assets.pipeline.stages.step import HEAVY_STAGE, Step, stage_asset


def mapped_asset(table: Table, platform: Platform) -> dg.AssetsDefinition:
    """The asset `mapped/<table>`."""
    assert table.statement is not None
    assert table.lineage is not None
    statement = table.statement
    tables = platform.catalog.tables
    keys = {name: dg.AssetKey([tables[name].layer, name]) for name in table.inputs}
    lineage = table_lineage(table.lineage, keys)

    def map_rows(step: Step) -> dg.MaterializeResult[Any]:
        p = step.platform
        where = {DAY: step.days} if table.daily else None
        inputs = _inputs(tables, table, where, p)
        target = Target(p.lake.table(table.lake_name), where, (DAY,) if table.daily else ())
        with measured() as cost:
            written = p.engine.transform([Query(statement.text, inputs, timezone=table.domain.timezone)], target)
        rows = Input(p.lake.table(table.lake_name).scan(where, version=written.version))
        key = (DAY, *table.spec.key) if table.daily and DAY not in table.spec.key else table.spec.key
        verdict = check_contract(p.engine, rows, key, table.columns)
        return step.result(written_metadata(written, cost, lineage), [verdict])

    return stage_asset(
        dg.AssetKey(["mapped", table.name]),
        map_rows,
        group="mapped",
        description=table.spec.description,
        owners=table.spec.owners,
        kinds={"sql", "duckdb", "deltalake"},
        deps=list(keys.values()),
        partitions=platform.partitions(table.domain.timezone) if table.daily else None,
        checks=(CONTRACT,),
        metadata={
            **dict(
                dg.TableMetadataSet(
                    column_schema=table_schema(table.columns, key=table.spec.key),
                    column_lineage=lineage,
                    table_name=table.lake_name,
                )
            ),
            **code_references(statement.path, table.path),
        },
        backfill_policy=HEAVY_STAGE if table.daily else None,
    )


def _inputs(
    tables: Mapping[str, Table], table: Table, where: Mapping[str, Any] | None, platform: Platform
) -> dict[str, Input]:
    """The same days of daily inputs, and snapshots as they are."""
    return {
        name: Input(platform.lake.table(tables[name].lake_name).scan(where if tables[name].daily else None))
        for name in table.inputs
    }
