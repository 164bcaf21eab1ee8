"""Which days a run reads: partitions, the instant `$as_of`, and the windows that features and labels may look into.

Here: days and windows, as pure functions over the catalog and the lake. Not here: SQL, or anything that writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog, Table
from serving_assets.catalog.spec import DAY, Current, LastDays, NextDays
from serving_assets.engines.protocol import Input
from serving_assets.lake import DayRange, Lake


def daily_partitions(timezone: str, first_days: Iterable[date]) -> dg.DailyPartitionsDefinition:
    """One partition a local day of `timezone`, from the earliest of `first_days` on, which are those of its domains.

    Domains that share a zone share the partitions, so that one job can hold tables of both; a domain that begins later
    has no data in the partitions before its own first day, and nothing asks for it.
    """
    return dg.DailyPartitionsDefinition(start_date=min(first_days).isoformat(), timezone=timezone)


def as_of(day: date, timezone: str) -> datetime:
    """The instant at which `day` ends in `timezone`: what a prediction for that day may know is older."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(timezone))


def last_days(day: date, days: int) -> DayRange:
    """The `days` days that end with `day`."""
    return DayRange(day - timedelta(days=days - 1), day)


def read_window(table: Table, window: LastDays | NextDays | Current, day: date, lake: Lake) -> Input:
    """`table` as a query for `day` may see it."""
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
    """What features.sql may see of the past of `day`."""
    return {n: read_window(catalog.tables[n], w, day, lake) for n, w in use_case.spec.features.inputs.items()}


def label_inputs(use_case: BoundUseCase, catalog: Catalog, lake: Lake, day: date) -> dict[str, Input]:
    """What labels.sql may see of the days after `day`."""
    return {n: read_window(catalog.tables[n], w, day, lake) for n, w in use_case.spec.labels.inputs.items()}
