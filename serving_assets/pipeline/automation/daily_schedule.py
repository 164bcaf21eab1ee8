"""The daily run of a use case: at its hour once all files are there, at the cut-off whatever is there.

Here: when the newest day is requested, and which assets. Not here: making tables as files arrive (arrivals_sensor.py),
or days that were missed (catch_up_sensor.py).

The schedule ticks every ten minutes from its hour to the deadline. Tables that the arrivals made already are not made
again, so two use cases that share sources never request the same raw partition twice. A day whose run failed is
requested again when the missing files arrive before the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.timing import minutes_after, minutes_from
from serving_assets.pipeline.asset_keys import daily_keys, upstream_tables
from serving_assets.pipeline.automation.calendar import day_of, past_cut_off
from serving_assets.pipeline.automation.missing_tables import missing_tables
from serving_assets.pipeline.automation.runs_in_flight import RunsInFlight
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.runs import RunSummary
from serving_assets.pipeline.dagster_instance.tags import PARTITION_NAME_TAG, SCHEDULE_NAME_TAG, will_be_retried
from serving_assets.pipeline.platform import Platform

EVERY_MINUTES = 10


def daily_schedule(
    use_case: BoundUseCase, job: dg.UnresolvedAssetJobDefinition, platform: Platform
) -> dg.ScheduleDefinition:
    """Return the schedule `<use_case>_daily_schedule`."""
    at, deadline = use_case.spec.schedule, use_case.spec.due_at
    name = f"{job.name}_schedule"

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=ticks(at.at, deadline),
        execution_timezone=at.timezone,
        description=f"Scores the day that has just ended, from {at.at} {at.timezone} on as soon as all its files are "
        f"there, at {at.cut_off} whatever is there; readers have it by {deadline}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def newest_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time
        day, first = day_of(use_case, tick), platform.first_day_of(use_case)
        if day < first:
            return dg.SkipReason(f"No day has ended yet since the first partition, {first}.")
        view = DagsterView(context.instance)
        runs = view.runs({SCHEDULE_NAME_TAG: name, PARTITION_NAME_TAG: str(day)})
        if not runs:
            return request(view, platform, use_case, day, patient=not past_cut_off(use_case, tick))
        if not was_fixed(view, platform, use_case, day, runs[0]):
            return dg.SkipReason(f"{day} is requested already.")
        return request(view, platform, use_case, day, patient=True, attempt=len(runs))

    return newest_day


def ticks(at: str, deadline: str) -> str | list[str]:
    """Return the cron expressions of every tenth minute from `at` to `deadline`, on the clock's face."""
    minutes = range(0, minutes_from(at, deadline) + 1, EVERY_MINUTES)
    hours: dict[int, list[int]] = {}
    for hour, minute in (minutes_after(at, passed).split(":") for passed in minutes):
        hours.setdefault(int(hour), []).append(int(minute))
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, of_hour in hours.items():
        alike.setdefault(tuple(sorted(of_hour)), []).append(number)
    found = [f"{_listed(minutes)} {_listed(numbers)} * * *" for minutes, numbers in alike.items()]
    return found[0] if len(found) == 1 else found


def was_fixed(view: InstanceView, platform: Platform, use_case: BoundUseCase, day: date, run: RunSummary) -> bool:
    """Return whether the newest run of `day` has ended without scoring it, and what it is made of was made since.

    A file that comes between the cut-off and the deadline is in time still: catching up begins at the deadline.
    """
    failed = run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    if not failed or will_be_retried(run.tags) or run.ended is None:
        return False
    if str(day) in view.materialized_partitions(dg.AssetKey([use_case.name, "historic"])):
        return False
    for key in upstream_tables(platform.catalog, use_case):
        partition = str(day) if platform.catalog.tables[key.path[-1]].daily else None
        if view.was_made_after(key, run.ended, partition):
            return True
    return False


def request(
    view: InstanceView,
    platform: Platform,
    use_case: BoundUseCase,
    day: date,
    *,
    patient: bool,
    attempt: int = 0,
) -> dg.RunRequest | dg.SkipReason:
    """Return the run of `day`: all stages, and the tables that are not there; a patient one waits for those instead."""
    tables = upstream_tables(platform.catalog, use_case)
    if RunsInFlight.on(view, platform).holds(tables, day):
        return dg.SkipReason(f"The tables of {day} are being made.")
    missing = missing_tables(view, platform, tables, day)
    if missing and patient:
        listed = ", ".join(key.to_user_string() for key in missing)
        until = use_case.spec.due_at if attempt else use_case.spec.schedule.cut_off
        return dg.SkipReason(f"Waits for {listed} of {day}, until {until}.")
    run_key = f"{day}:{attempt}" if attempt else str(day)
    return dg.RunRequest(run_key=run_key, partition_key=str(day), asset_selection=[*missing, *daily_keys(use_case)])


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)
