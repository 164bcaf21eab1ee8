"""Ticks of sensors and schedules over a bench, and the runs that they ask for.

Here: evaluating them as the daemon does. Not here: what they must say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.test_utils import create_run_for_test, freeze_time

from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.pipeline.dagster_instance.tags import days_of
from tests.pipeline.slice import Bench

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str, timezone: str = "America/New_York") -> datetime:
    """An instant by the wall clock of a time zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone))


def sensor_tick(bench: Bench, name: str, cursor: str | None = None, now: datetime | None = None) -> Any:
    """What a sensor says; its requests are resolved as the daemon resolves them."""
    repository = bench.defs.get_repository_def()
    with dg.build_sensor_context(
        instance=bench.instance, cursor=cursor, repository_def=repository, sensor_name=name
    ) as context:
        if now is None:
            return repository.get_sensor_def(name).evaluate_tick(context)
        with freeze_time(now):
            return repository.get_sensor_def(name).evaluate_tick(context)


def schedule_tick(defs: dg.Definitions, instance: dg.DagsterInstance, name: str, tick: datetime) -> Any:
    """What a schedule says."""
    repository = defs.get_repository_def()
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=tick, repository_def=repository, resources={"platform": None}
    ) as context:
        setattr(context, "_instance", instance)  # noqa: B010  # or each tick would open the instance anew
        return repository.get_schedule_def(name).evaluate_tick(context)


def entered(
    instance: dg.DagsterInstance, job: str, request: dg.RunRequest, status: dg.DagsterRunStatus, **tags: str
) -> dg.DagsterRun:
    """A run of the request that has come as far as `status`."""
    selection = frozenset(request.asset_selection or ())
    run_tags = {**request.tags, "dagster/run_key": request.run_key or "", **tags}
    run = create_run_for_test(instance, job_name=job, tags=run_tags, status=status, asset_selection=selection)
    assert isinstance(run, dg.DagsterRun)
    return run


def carried_out(bench: Bench, request: dg.RunRequest) -> Outcome:
    """Execute a request."""
    return run_assets(
        bench.defs, bench.instance, request.asset_selection or (), days_of(request.tags), tags=request.tags
    )


def made(instance: dg.DagsterInstance, key: dg.AssetKey, *partitions: str | None) -> None:
    """Enter materializations that no run has made."""
    for partition in partitions:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
