"""Which tables of a day are not materialized yet.

Here: asking the instance. Not here: what a use case lacks because of that (pipeline/automation/gaps.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from serving_assets.pipeline.platform import Platform


def missing_tables(
    instance: dg.DagsterInstance, platform: Platform, tables: Sequence[dg.AssetKey], day: date
) -> list[dg.AssetKey]:
    """Those of `tables` that were not made for `day`, or, without partitions, never."""
    daily = {key for key in tables if platform.catalog.tables[key.path[-1]].daily}
    return [
        key
        for key in tables
        if (str(day) not in instance.get_materialized_partitions(key) if key in daily else _never_made(instance, key))
    ]


def _never_made(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    return instance.get_latest_materialization_event(key) is None
