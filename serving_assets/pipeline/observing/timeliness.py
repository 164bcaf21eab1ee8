"""How timely raw, latest and online are, in three ways that differ: made by the deadline, up to which day, how new.

Here: gathering all three for the page on call. Not here: the policies (pipeline/automation/freshness_policies.py), or
the checks of a run (checks/).

They differ because materializing any old day satisfies a policy, and because the newest day may hold old rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import BoundUseCase, Table
from serving_assets.catalog.spec import DAY
from serving_assets.catalog.timing import newest_ended_day
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import ServingAssetsError
from serving_assets.pipeline.asset_keys import stage_keys, upstream_tables
from serving_assets.pipeline.dagster_instance.asset_graph import BaseAssetNode
from serving_assets.pipeline.dagster_instance.freshness_state import deadline_of, freshness_of
from serving_assets.pipeline.days import as_of
from serving_assets.pipeline.platform import Platform


@dataclass(frozen=True)
class Timeliness:
    """One asset's.

    Attributes:
        freshness: the state of its policy: PASS, WARN, FAIL, UNKNOWN (never made) or NOT_APPLICABLE (never due).
        due: by when it is to be made, each day, or None.
        newest_day: the newest day that it holds, and `days_behind` how many have ended since; None where unknown.
        newest_data: the newest instant among its rows.
    """

    asset: str
    freshness: str
    due: str | None
    newest_day: date | None
    days_behind: int | None
    newest_data: str | None


def timeliness(
    instance: dg.DagsterInstance, platform: Platform, defs: dg.Definitions, use_case: BoundUseCase, now: datetime
) -> list[Timeliness]:
    """Of the daily sources that the use case reads, of latest, and of online."""
    graph = defs.resolve_asset_graph()
    tables = [platform.catalog.tables[key.path[-1]] for key in upstream_tables(platform.catalog, use_case)]
    found = []
    for table in tables:
        if table.layer == "raw" and table.daily:
            key = dg.AssetKey([table.layer, table.name])
            day = newest_day(instance, key)
            found.append(_of(instance, graph.get(key), use_case, now, day, _newest_row(platform, table, day)))
    scored = newest_day(instance, dg.AssetKey([use_case.name, "historic"]))
    for key in stage_keys(use_case, ("latest", "online")):
        day, newest = scored, _local_end(scored, use_case.domain.timezone) if scored else None
        if key.path[-1] == "online":
            day, newest = _published(platform, use_case)
        found.append(_of(instance, graph.get(key), use_case, now, day, newest))
    return found


def _of(
    instance: dg.DagsterInstance,
    node: BaseAssetNode,
    use_case: BoundUseCase,
    now: datetime,
    day: date | None,
    newest_data: str | None,
) -> Timeliness:
    ended = newest_ended_day(now, use_case.domain.timezone)
    behind = (ended - day).days if day else None
    return Timeliness(
        node.key.to_user_string(), freshness_of(instance, node), deadline_of(node), day, behind, newest_data
    )


def _local_end(day: date, timezone: str) -> str:
    return str(as_of(day, timezone).astimezone(ZoneInfo(timezone)))


def newest_day(instance: dg.DagsterInstance, key: dg.AssetKey) -> date | None:
    """Return the newest day that was ever made of an asset."""
    return max(map(date.fromisoformat, instance.get_materialized_partitions(key)), default=None)


def _newest_row(platform: Platform, table: Table, day: date | None) -> str | None:
    """The newest event among the rows of the newest day that has any."""
    stored, column = platform.lake.table(table.lake_name), table.spec.event_time
    days: list[Any] = stored.partitions() if day and column else []
    if not days or column is None:
        return None
    rows = {"t": Input(stored.scan({DAY: days[-1]}))}
    # As text, because Arrow imports pandas for Python's timestamps.
    sql = f"SELECT CAST(max({identifier(column)}) AS VARCHAR) AS newest FROM t"
    newest: str | None = platform.engine.collect(Query(sql, rows)).column("newest").to_pylist()[0]
    # DuckDB writes an hour's offset as +00, which few programs that read it know.
    return str(datetime.fromisoformat(newest)) if newest and ":" in newest else newest


def _published(platform: Platform, use_case: BoundUseCase) -> tuple[date | None, str | None]:
    """The day at whose end the active generation looks, and that instant; nothing while the store is out of reach."""
    try:
        control = platform.store.control(use_case.name)
    except ServingAssetsError:
        return None, None  # `status` shows why, above
    if control is None or control.published is None:
        return None, None
    instant = datetime.fromisoformat(control.published.as_of).astimezone(ZoneInfo(use_case.domain.timezone))
    return newest_ended_day(instant, use_case.domain.timezone), str(instant)
