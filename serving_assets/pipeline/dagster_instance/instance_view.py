"""What automation asks of the Dagster instance: partitions, runs, backfills and a few stored values.

Here: the questions, so that a test can answer them from memory. Not here: the answers of a real instance
(dagster_view.py), or any decision that follows from them (pipeline/automation/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

import dagster as dg

from serving_assets.pipeline.dagster_instance.materializations import Materialization
from serving_assets.pipeline.dagster_instance.runs import RunSummary


class InstanceView(Protocol):
    """The state of an instance in plain values. Every call asks again: two calls may see different states."""

    def materialized_partitions(self, asset: dg.AssetKey) -> Collection[str]:
        """Return the partitions of `asset` that were materialized at least once."""

    def newest_event_ids(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, int]:
        """Return the event of the newest materialization of each partition that has one."""

    def newest_by_partition(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, Materialization]:
        """Return the newest materialization of each partition that has one."""

    def newest_of(self, assets: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, Materialization]:
        """Return the newest materialization, of whatever partition, of each asset that has one."""

    def was_made_after(self, asset: dg.AssetKey, instant: datetime, partition: str | None = None) -> bool:
        """Return whether the asset, or one partition of it, was materialized after `instant`."""

    def runs(
        self, tags: Mapping[str, str] | None = None, statuses: Collection[dg.DagsterRunStatus] = ()
    ) -> list[RunSummary]:
        """Return the runs that carry all of `tags` and have one of `statuses` (all when empty), newest first."""

    def run_tag_values(self, tag: str) -> set[str]:
        """Return every value that runs carry for a tag."""

    def assets_of_requested_backfills(self) -> frozenset[dg.AssetKey]:
        """Return the assets of backfills that the daemon has not finished: more of their runs may follow."""

    def stored_values(self, keys: Collection[str]) -> dict[str, str]:
        """Return those of the values stored under `keys` that exist."""

    def store_values(self, values: Mapping[str, str]) -> None:
        """Store values; a later one of the same key replaces it."""
