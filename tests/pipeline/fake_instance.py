"""An instance in memory, for tests of automation that run in milliseconds.

Here: the answers of `InstanceView`, and what a test enters. Not here: that a real instance answers alike
(test_fake_instance.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from serving_assets.pipeline.dagster_instance.materializations import Materialization
from serving_assets.pipeline.dagster_instance.runs import ENDED, RunSummary

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeInstance:
    """What was materialized, run and stored. `now` moves on by a second with each entry, unless a test sets it."""

    now: datetime = START
    made: list[tuple[dg.AssetKey, Materialization]] = field(default_factory=list)
    launched: list[RunSummary] = field(default_factory=list)
    requested: set[dg.AssetKey] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)

    def materialize(self, asset: str | dg.AssetKey, *partitions: object, run_id: str = "", **numbers: Any) -> None:
        """Enter a materialization of an asset such as `raw/lines`; one for each partition, if any are given."""
        key = dg.AssetKey(asset.split("/")) if isinstance(asset, str) else asset
        for partition in partitions or (None,):
            named = None if partition is None else str(partition)
            self.made.append((key, Materialization(len(self.made) + 1, self._tick(), run_id, named, numbers)))

    def run(
        self,
        status: dg.DagsterRunStatus,
        tags: Mapping[str, str] | None = None,
        assets: Iterable[dg.AssetKey] = (),
        job: str = "__ASSET_JOB",
    ) -> RunSummary:
        """Enter a run; one that has ended began and ended now."""
        at = self._tick()
        ended = at if status in ENDED else None
        name = f"run-{len(self.launched) + 1}"
        self.launched.append(RunSummary(name, job, status, dict(tags or {}), frozenset(assets), ended, ended))
        return self.launched[-1]

    def end(self, run: RunSummary, status: dg.DagsterRunStatus) -> RunSummary:
        """End a run that was entered."""
        at = self._tick()
        ended = replace(run, status=status, began=run.began or at, ended=at)
        self.launched[self.launched.index(run)] = ended
        return ended

    def materialized_partitions(self, asset: dg.AssetKey) -> Collection[str]:
        """Return the partitions of `asset` that were entered."""
        return {made.partition for key, made in self.made if key == asset and made.partition}

    def newest_event_ids(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, int]:
        """Return the newest event of each partition that has one."""
        return {day: made.event for day, made in self.newest_by_partition(asset, partitions).items()}

    def newest_by_partition(self, asset: dg.AssetKey, partitions: Iterable[str]) -> dict[str, Materialization]:
        """Return the newest materialization of each partition that has one."""
        wanted = set(partitions)
        return {made.partition: made for key, made in self.made if key == asset and made.partition in wanted}

    def newest_of(self, assets: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, Materialization]:
        """Return the newest materialization of each asset that has one."""
        wanted = set(assets)
        return {key: made for key, made in self.made if key in wanted}

    def was_made_after(self, asset: dg.AssetKey, instant: datetime, partition: str | None = None) -> bool:
        """Return whether the asset, or one partition of it, was entered after `instant`."""
        of_asset = (made for key, made in self.made if key == asset)
        return any(made.at > instant and partition in (None, made.partition) for made in of_asset)

    def runs(
        self, tags: Mapping[str, str] | None = None, statuses: Collection[dg.DagsterRunStatus] = ()
    ) -> list[RunSummary]:
        """Return the runs that carry all of `tags` and have one of `statuses` (all when empty), newest first."""
        wanted = dict(tags or {}).items()
        found = [
            run for run in self.launched if wanted <= run.tags.items() and (not statuses or run.status in statuses)
        ]
        return found[::-1]

    def run_tag_values(self, tag: str) -> set[str]:
        """Return every value that runs carry for a tag."""
        return {run.tags[tag] for run in self.launched if tag in run.tags}

    def assets_of_requested_backfills(self) -> frozenset[dg.AssetKey]:
        """Return the assets of backfills that the daemon has not finished."""
        return frozenset(self.requested)

    def stored_values(self, keys: Collection[str]) -> dict[str, str]:
        """Return those of the values stored under `keys` that exist."""
        return {key: self.values[key] for key in keys if key in self.values}

    def store_values(self, values: Mapping[str, str]) -> None:
        """Store values."""
        self.values |= values

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now
