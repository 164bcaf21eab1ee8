"""Which tables of a day are not materialized yet.

Here: asking the instance. Not here: the gaps that follow from that (pipeline/automation/gaps.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.platform import Platform


def missing_tables(
    view: InstanceView, platform: Platform, tables: Sequence[dg.AssetKey], day: date
) -> list[dg.AssetKey]:
    """Return those of `tables` that were not made for `day`, or, without partitions, never."""
    daily = {key for key in tables if platform.catalog.tables[key.path[-1]].daily}
    made = view.newest_of(key for key in tables if key not in daily)
    return [
        key
        for key in tables
        if (str(day) not in view.materialized_partitions(key) if key in daily else key not in made)
    ]
