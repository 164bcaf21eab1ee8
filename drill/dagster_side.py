"""What the drill sees of Dagster and of the store, and what it switches off.

Here: reading the instance. Not here: deciding anything by it (play.py).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from drill.calendar import ZONE, at
from drill.processes import LOCATION, Processes
from drill.world import NAME
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.asset_keys import daily_keys, upstream_tables
from serving_assets.pipeline.automation.daily_schedule import EVERY_MINUTES
from serving_assets.store import read, scan

KEPT_ON = {f"{NAME}_daily_schedule", f"{NAME}_catch_up", "complete_journey_arrivals", "alerts"}
"""The others are switched off: a weekly training would change what is right, and the rest takes time for nothing."""
LOOKS = "alerts"
TICK = timedelta(minutes=EVERY_MINUTES)


class Observer:
    """A reader of the workspace that the daemon works on."""

    def __init__(self) -> None:
        self._workspace = Workspace()
        self.instance = self._workspace.instance
        self.platform = self._workspace.platform
        use_case = self._workspace.catalog.use_case(NAME)
        self.line = [*upstream_tables(self._workspace.catalog, use_case), *daily_keys(use_case)]
        self._looks = self._daily = ("", "")

    def switch_off(self, processes: Processes) -> None:
        """Every schedule and sensor but those of `KEPT_ON`."""
        target = WorkspaceFileTarget([str(processes.workspace)])
        with WorkspaceProcessContext(self.instance, target) as context:
            location = context.create_request_context().get_code_location(LOCATION)
            (repository,) = location.get_repositories().values()
            for schedule in repository.get_schedules():
                if schedule.name == f"{NAME}_daily_schedule":
                    self._daily = (schedule.get_remote_origin_id(), schedule.selector_id)
                if schedule.name not in KEPT_ON:
                    self.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
            for sensor in repository.get_sensors():
                if sensor.name not in KEPT_ON:
                    self.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
                elif sensor.name == LOOKS:
                    self._looks = (sensor.get_remote_origin_id(), sensor.selector_id)

    def looked_at(self) -> float:
        """When the newest finished tick of the alerts began."""
        ticks = self.instance.get_ticks(self._looks[0], self._looks[1], limit=2)
        return max((tick.timestamp for tick in ticks if tick.end_timestamp), default=0.0)

    def is_scheduled(self, now: datetime) -> bool:
        """Whether the daily schedule has had its newest tick, in the hours in which it ticks."""
        begin, end = at(now.astimezone(ZONE).date(), "05:00"), at(now.astimezone(ZONE).date(), "07:00")
        if now < begin or now > end + TICK:
            return True
        due = min(now.timestamp() // TICK.total_seconds() * TICK.total_seconds(), end.timestamp())
        ticks = self.instance.get_ticks(self._daily[0], self._daily[1], limit=1)
        return any(tick.timestamp >= due and tick.end_timestamp for tick in ticks)

    def worker(self, run_id: str) -> int:
        """Number of the process that executes a run, as its code server tells it; 0 while it has not."""
        for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            if pid := entry.get_dagster_event().engine_event_data.metadata.get("pid"):
                return int(str(pid.value))
        return 0

    def unfinished(self) -> list[dg.DagsterRun]:
        """Runs that are queued or at work."""
        return list(self.instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)))

    def not_made(self, day: date, since: datetime) -> list[str]:
        """Assets of the line that were not made since a moment: for `day`, or at all where they have no days."""
        lacking = []
        for key in self.line:
            daily = self._workspace.defs.resolve_asset_graph().get(key).is_partitioned
            wanted = dg.AssetRecordsFilter(
                asset_key=key, asset_partitions=[str(day)] if daily else None, after_timestamp=since.timestamp()
            )
            snapshot = key.path[0] in ("raw", "mapped") and not daily
            if not snapshot and not self.instance.fetch_materializations(wanted, limit=1).records:
                lacking.append(key.to_user_string())
        return lacking

    def newest_event(self, asset: str) -> int:
        """Number of the newest materialization of an asset."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
        return int(event.timestamp * 1e6) if event else 0

    def daily_run(self, day: date) -> str:
        """The daily run of a day once it is at work; '' until then."""
        wanted = dg.RunsFilter(
            job_name=f"{NAME}_daily", tags={"dagster/partition": str(day)}, statuses=[dg.DagsterRunStatus.STARTED]
        )
        return next((run.run_id for run in self.instance.get_runs(wanted)), "")

    def published(self) -> tuple[int, str, str]:
        """Number, as-of and moment of the active generation, asked of the store itself."""
        control = self.platform.store.control(NAME)
        assert control is not None
        assert control.published is not None
        return control.published.number, control.published.as_of, control.published.published_at

    def documents(self) -> tuple[str, dict[str, list[Any]]]:
        """The as-of of what the store holds for readers, and all of it."""
        as_of = self.published()[1]
        store = self.platform.store
        found = read(store, NAME, [entity for entity, _ in scan(store, NAME)]).values
        return as_of, {str(f.entity): [f.value, f.as_of, f.model_version] for f in found if f is not None}
