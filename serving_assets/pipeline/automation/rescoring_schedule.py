"""Scoring again: every night, the recent days whose data changed after they were scored.

Here: the schedule. Not here: how they are found (gaps.py), or the newest day, which is not left until the night
(catch_up_sensor.py).

The days go into the history; `latest` takes them up with the daily run that follows, or ten minutes after the last one.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.timing import minutes_after
from serving_assets.pipeline.asset_keys import stage_keys
from serving_assets.pipeline.automation.calendar import day_of
from serving_assets.pipeline.automation.catch_up_sensor import request
from serving_assets.pipeline.automation.gaps import SCORING, Gap, stale_days
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.platform import Platform

MINUTES_BEFORE = 180
"""How long before the daily run: late enough for what the day before has brought, early enough to be done by then."""


def rescoring_schedule(
    use_case: BoundUseCase, job: dg.UnresolvedAssetJobDefinition, platform: Platform
) -> dg.ScheduleDefinition:
    """Return the schedule `<use_case>_rescoring_schedule`."""
    at, days = use_case.spec.schedule, use_case.spec.catch_up.rescore_days
    hour, minute = minutes_after(at.at, -MINUTES_BEFORE).split(":")

    @dg.schedule(
        name=f"{use_case.name}_rescoring_schedule",
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        execution_timezone=at.timezone,
        description=f"Scores again those of the newest {days} days that late data changed, at {hour}:{minute}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def trailing_days(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        newest = day_of(use_case, context.scheduled_execution_time)
        trailing = [str(newest - timedelta(days=back)) for back in range(1, days + 1)]
        view = DagsterView(context.instance)
        scored = view.materialized_partitions(dg.AssetKey([use_case.name, "historic"]))
        stale = stale_days(view, platform, use_case, [day for day in trailing if day in scored])
        keys = tuple(stage_keys(use_case, SCORING))
        gaps = [Gap(use_case.name, day, "", "due", keys, stale[day]) for day in sorted(stale, reverse=True)]
        if not gaps:
            return dg.SkipReason(f"No late data has changed the {days} days before {newest}.")
        return [request(gap, Priority.RESCORING) for gap in gaps]

    return trailing_days
