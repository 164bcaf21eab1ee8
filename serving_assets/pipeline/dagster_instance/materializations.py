"""Materializations of assets as plain values: the newest of an asset, of each of its partitions, and after an instant.

Here: asking the event log with few queries. Not here: what the numbers mean (pipeline/checks/history.py), or what is
missing (pipeline/automation/gaps.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from serving_assets.pipeline.dagster_instance.events import plain_numbers


@dataclass(frozen=True)
class Materialization:
    """One materialization.

    Attributes:
        event: its number in the event log; a later event has a higher one.
        partition: the partition that was made; None for an asset without partitions.
        numbers: the metadata that are plain values.
    """

    event: int
    at: datetime
    run_id: str
    partition: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


def newest_event_ids(instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, int]:
    """Return the event of the newest materialization of each partition; partitions without one are left out."""
    kind, wanted = dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    if not wanted:
        return {}
    return dict(instance.event_log_storage.get_latest_storage_id_by_partition(asset, kind, wanted))


def newest_by_partition(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Iterable[str]
) -> dict[str, Materialization]:
    """Return the newest materialization of each partition; partitions without one are left out."""
    newest = newest_event_ids(instance, asset, partitions)
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(newest.values()))
    records = instance.fetch_materializations(wanted, limit=len(newest)).records
    return {record.partition_key: _plain(record) for record in records if record.partition_key}


def newest_of(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, Materialization]:
    """Return the newest materialization of each asset, of whatever partition; assets without one are left out."""
    wanted = list(assets)
    found = {}
    for record in instance.get_asset_records(wanted) if wanted else ():
        newest = record.asset_entry.last_materialization_record
        if newest is not None:
            found[record.asset_entry.asset_key] = _plain(newest)
    return found


def last_of(instance: dg.DagsterInstance, asset: dg.AssetKey, times: int) -> list[Materialization]:
    """Return the last `times` materializations of an asset, newest first."""
    return [_plain(record) for record in instance.fetch_materializations(asset, limit=times).records]


def was_made_after(
    instance: dg.DagsterInstance, asset: dg.AssetKey, instant: datetime, partition: str | None = None
) -> bool:
    """Return whether the asset, or one partition of it, was materialized after `instant`."""
    partitions = [partition] if partition else None
    later = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partitions, after_timestamp=instant.timestamp())
    return bool(instance.fetch_materializations(later, limit=1).records)


def _plain(record: dg.EventLogRecord) -> Materialization:
    made = record.asset_materialization
    return Materialization(
        record.storage_id,
        datetime.fromtimestamp(record.timestamp, UTC),
        record.run_id,
        record.partition_key,
        plain_numbers(made) if made else {},
    )
