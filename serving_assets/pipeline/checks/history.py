"""Numbers recorded by earlier runs, which checks compare today's with.

Here: reading the newest materializations and evaluations of one asset, with few queries. Not here: what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg

from serving_assets.pipeline.dagster_instance import check_records, materializations
from serving_assets.pipeline.dagster_instance.materializations import Materialization


def numbers_of_days(
    instance: dg.DagsterInstance, asset: dg.AssetKey, days: Iterable[date]
) -> dict[date, dict[str, Any]]:
    """Return the numbers in the newest materialization of each of `days`; days without one are left out."""
    newest = materializations.newest_by_partition(instance, asset, map(str, days))
    return {date.fromisoformat(partition): _numbers(made) for partition, made in newest.items()}


def numbers_before(instance: dg.DagsterInstance, asset: dg.AssetKey, times: int) -> list[dict[str, Any]]:
    """Return the numbers in the newest materializations of an asset without partitions, newest first."""
    return [_numbers(made) for made in materializations.last_of(instance, asset, times)]


def days_made(instance: dg.DagsterInstance, asset: dg.AssetKey) -> set[date]:
    """The days for which an asset was materialized, with or without rows."""
    return {date.fromisoformat(day) for day in instance.get_materialized_partitions(asset)}


def evaluations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str, times: int
) -> list[dg.AssetCheckEvaluation]:
    """Return the last evaluations of a check, newest first."""
    records = check_records.evaluations(instance, dg.AssetCheckKey(asset, check), times)
    return [record.evaluation for record in records]


def _numbers(made: Materialization) -> dict[str, Any]:
    numbers = {name: value for name, value in made.numbers.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool)}
