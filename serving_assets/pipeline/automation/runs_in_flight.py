"""The runs that have not ended and what they make, so that nothing is requested twice.

Here: reading it off the instance. Not here: what is missing (gaps.py), or what has landed (arrivals_sensor.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import dagster as dg

from serving_assets.lake import DayRange
from serving_assets.pipeline.asset_keys import daily_job_name, daily_keys, tables_job_name, upstream_tables
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.runs import UNFINISHED
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.platform import Platform


@dataclass(frozen=True)
class RunsInFlight:
    """Assets that queued or running runs make, with the days of each run; None: a run without partitions."""

    runs: tuple[tuple[frozenset[dg.AssetKey], DayRange | None], ...]
    backfilled: frozenset[dg.AssetKey]
    """Assets of backfills that the daemon has not finished: more of their runs may follow."""

    @classmethod
    def on(cls, view: InstanceView, platform: Platform) -> RunsInFlight:
        """Read them off the instance."""
        whole = _keys_of_jobs(platform)
        runs = (
            (run.assets or frozenset(whole.get(run.job, ())), days_of(run.tags))
            for run in view.runs(statuses=UNFINISHED)
        )
        return cls(tuple(runs), view.assets_of_requested_backfills())

    def holds(self, keys: Iterable[dg.AssetKey], day: date | None) -> bool:
        """Return whether a run makes one of `keys` for `day`; with None, whether one makes any of them at all."""
        wanted = frozenset(keys)
        return any(wanted & made and (day is None or (days is not None and day in days)) for made, days in self.runs)


def _keys_of_jobs(platform: Platform) -> dict[str, list[dg.AssetKey]]:
    """Return the assets of each job: a run of a whole job does not list them."""
    catalog = platform.catalog
    found = {
        daily_job_name(use_case): [*upstream_tables(catalog, use_case), *daily_keys(use_case)]
        for use_case in catalog.use_cases.values()
    }
    for name, domain in catalog.domains.items():
        tables = [table for table in catalog.tables.values() if table.domain is domain]
        found[tables_job_name(name)] = [dg.AssetKey([table.layer, table.name]) for table in tables]
    return found
