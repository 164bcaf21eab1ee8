"""What runs that have not ended are making, so that nobody requests the same a second time.

Here: reading it off the instance. Not here: what is missing (gaps.py), or what has landed (arrivals_sensor.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from serving_assets.lake import DayRange
from serving_assets.pipeline.asset_keys import daily_job_name, daily_keys, tables_job_name, upstream_tables
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.platform import Platform


@dataclass(frozen=True)
class RunsInFlight:
    """Assets that queued or running runs make, with the days of each run; None: a run without partitions."""

    runs: tuple[tuple[frozenset[dg.AssetKey], DayRange | None], ...]
    backfilled: frozenset[dg.AssetKey]
    """Assets of backfills that the daemon has not finished: runs may follow that nobody can see yet."""

    @classmethod
    def on(cls, instance: dg.DagsterInstance, platform: Platform) -> RunsInFlight:
        """As the instance knows it now."""
        whole = _keys_of_jobs(platform)
        unfinished = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        runs = (
            (frozenset(run.asset_selection or whole.get(run.job_name, [])), days_of(run.tags)) for run in unfinished
        )
        backfills = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
        chosen = (key for backfill in backfills for key in backfill.asset_selection or ())
        return cls(tuple(runs), frozenset(chosen))

    def holds(self, keys: Iterable[dg.AssetKey], day: date | None) -> bool:
        """Whether a run makes one of `keys` for `day`; with None, whether one makes any of them at all."""
        wanted = frozenset(keys)
        return any(wanted & made and (day is None or (days is not None and day in days)) for made, days in self.runs)


def _keys_of_jobs(platform: Platform) -> dict[str, list[dg.AssetKey]]:
    """What a run of a whole job makes: such a run does not say."""
    catalog = platform.catalog
    found = {
        daily_job_name(use_case): [*upstream_tables(catalog, use_case), *daily_keys(use_case)]
        for use_case in catalog.use_cases.values()
    }
    for name, domain in catalog.domains.items():
        tables = [table for table in catalog.tables.values() if table.domain is domain]
        found[tables_job_name(name)] = [dg.AssetKey([table.layer, table.name]) for table in tables]
    return found
