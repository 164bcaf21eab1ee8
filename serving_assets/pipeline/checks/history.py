"""Numbers recorded by earlier runs, which checks compare today's with.

Here: reading the newest materializations and evaluations of one asset, with few queries. Not here: what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
"""Without those that a run has only announced: its own among them."""


def numbers_of_days(
    instance: dg.DagsterInstance, asset: dg.AssetKey, days: Iterable[date]
) -> dict[date, dict[str, Any]]:
    """The numbers in the newest materialization of each of `days`; days without one are left out."""
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, {str(day) for day in days}
    )
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(newest.values()))
    records = instance.fetch_materializations(wanted, limit=len(newest)).records
    return {date.fromisoformat(r.partition_key): _numbers(r.asset_materialization) for r in records if r.partition_key}


def numbers_before(instance: dg.DagsterInstance, asset: dg.AssetKey, times: int) -> list[dict[str, Any]]:
    """The numbers in the newest materializations of an asset without partitions, newest first."""
    return [_numbers(r.asset_materialization) for r in instance.fetch_materializations(asset, limit=times).records]


def evaluations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str, times: int
) -> list[dg.AssetCheckEvaluation]:
    """The last evaluations of a check, newest first."""
    key = dg.AssetCheckKey(asset, check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=times, status=ENDED)
    return [record.evaluation for record in records if record.evaluation]


def _numbers(materialization: dg.AssetMaterialization | None) -> dict[str, Any]:
    if materialization is None:
        return {}
    return {name: entry.value for name, entry in materialization.metadata.items() if _is_number(entry)}


def _is_number(entry: object) -> bool:
    return isinstance(entry, dg.IntMetadataValue | dg.FloatMetadataValue)
