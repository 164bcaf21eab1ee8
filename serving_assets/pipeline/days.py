"""Which days a run reads: partitions, the instant `$as_of`, and the windows that features and labels may look into.

Here: days and windows, as pure functions over the catalog and the lake. Not here: SQL, or anything that writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog, Table
from serving_assets.catalog.spec import DAY, Current, LastDays, NextDays
from serving_assets.catalog.timing import as_of as as_of
from serving_assets.catalog.timing import unusual_ends
from serving_assets.engines.protocol import Input
from serving_assets.lake import DayRange, Lake

UNUSUAL_YEARS = 20
"""How old a row may be whose day's end is computed in SQL."""


def daily_partitions(timezone: str, first_days: Iterable[date]) -> dg.DailyPartitionsDefinition:
    """Return one partition a local day of `timezone`, from the earliest of the `first_days` of its domains on.

    Domains that share a zone share the partitions, so that one job can hold tables of both; a domain that begins later
    has no data in the partitions before its own first day, and nothing asks for it.
    """
    return dg.DailyPartitionsDefinition(start_date=min(first_days).isoformat(), timezone=timezone)


def as_of_sql(day: str, timezone: str, newest: date) -> str:
    """Return SQL of the instant, a naive timestamp in UTC, at which `day`, an SQL expression up to `newest`, ends.

    DuckDB takes the later of two midnights; days that end unusually are therefore listed, those of many years.
    """
    usual = f"timezone('UTC', timezone('{timezone}', CAST({day} + 1 AS TIMESTAMP)))"
    unusual = [each for back in range(UNUSUAL_YEARS) for each in unusual_ends(timezone, newest.year - back)]
    cases = (f"WHEN DATE '{each}' THEN TIMESTAMP '{as_of(each, timezone):%Y-%m-%d %H:%M:%S}'" for each in unusual)
    return f"CASE {day} {' '.join(cases)} ELSE {usual} END" if unusual else usual


def last_days(day: date, days: int) -> DayRange:
    """Return the `days` days that end with `day`."""
    return DayRange(day - timedelta(days=days - 1), day)


def read_window(table: Table, window: LastDays | NextDays | Current, day: date, lake: Lake) -> Input:
    """Return `table` as a query for `day` may see it."""
    stored = lake.table(table.lake_name)
    event_time = table.spec.event_time
    match window:
        case LastDays(days=days):
            return Input(stored.scan({DAY: last_days(day, days)}), event_time)
        case NextDays(days=days):
            return Input(stored.scan({DAY: DayRange(day + timedelta(days=1), day + timedelta(days=days))}), event_time)
        case Current():
            return Input(stored.scan(), event_time, before=as_of(day, table.domain.timezone))


def feature_inputs(use_case: BoundUseCase, catalog: Catalog, lake: Lake, day: date) -> dict[str, Input]:
    """Return what features.sql may see of the past of `day`."""
    return {n: read_window(catalog.tables[n], w, day, lake) for n, w in use_case.spec.features.inputs.items()}


def label_inputs(use_case: BoundUseCase, catalog: Catalog, lake: Lake, day: date) -> dict[str, Input]:
    """Return what labels.sql may see of the days after `day`."""
    return {n: read_window(catalog.tables[n], w, day, lake) for n, w in use_case.spec.labels.inputs.items()}
