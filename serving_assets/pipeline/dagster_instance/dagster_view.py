"""The answers of a real Dagster instance to what automation asks.

Here: one method for each question. Not here: the questions (instance_view.py), or queries that only one asset or check
needs (materializations.py, check_records.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from serving_assets.pipeline.dagster_instance import materializations
from serving_assets.pipeline.dagster_instance.materializations import Materialization
from serving_assets.pipeline.dagster_instance.runs import RunSummary, summary_of


@dataclass(frozen=True)
class DagsterView:
    """An `InstanceView` of a Dagster instance."""

    instance: dg.DagsterInstance

    def materialized_partitions(self, asset: dg.AssetKey) -> Collection[str]:
        """Return the partitions of `asset` that were materialized at least once."""
        return self.instance.get_materialized_partitions(asset)

    def newest_event_ids(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, int]:
        """Return the event of the newest materialization of each partition that has one."""
        return materializations.newest_event_ids(self.instance, asset, partitions)

    def newest_by_partition(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, Materialization]:
        """Return the newest materialization of each partition that has one."""
        return materializations.newest_by_partition(self.instance, asset, partitions)

    def newest_of(self, assets: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, Materialization]:
        """Return the newest materialization, of whatever partition, of each asset that has one."""
        return materializations.newest_of(self.instance, assets)

    def was_made_after(self, asset: dg.AssetKey, instant: datetime, partition: str | None = None) -> bool:
        """Return whether the asset, or one partition of it, was materialized after `instant`."""
        return materializations.was_made_after(self.instance, asset, instant, partition)

    def runs(
        self, tags: Mapping[str, str] | None = None, statuses: Collection[dg.DagsterRunStatus] = ()
    ) -> list[RunSummary]:
        """Return the runs that carry all of `tags` and have one of `statuses` (all when empty), newest first."""
        wanted = dg.RunsFilter(tags=dict(tags or {}), statuses=list(statuses))
        return [summary_of(record) for record in self.instance.get_run_records(wanted)]

    def run_tag_values(self, tag: str) -> set[str]:
        """Return every value that runs carry for a tag."""
        return {value for _, values in self.instance.get_run_tags([tag]) for value in values}

    def assets_of_requested_backfills(self) -> frozenset[dg.AssetKey]:
        """Return the assets of backfills that the daemon has not finished: more of their runs may follow."""
        requested = self.instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
        return frozenset(asset for backfill in requested for asset in backfill.asset_selection or ())

    def stored_values(self, keys: Collection[str]) -> dict[str, str]:
        """Return those of the values stored under `keys` that exist."""
        return dict(self.instance.daemon_cursor_storage.get_cursor_values(set(keys))) if keys else {}

    def store_values(self, values: Mapping[str, str]) -> None:
        """Store values; a later one of the same key replaces it."""
        self.instance.daemon_cursor_storage.set_cursor_values(dict(values))
