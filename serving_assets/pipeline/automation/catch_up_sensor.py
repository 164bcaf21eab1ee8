"""Catching up: a sensor for each use case that requests what closes its gaps, newest first, and gives up visibly.

Here: the requests of one tick. Not here: finding the gaps (gaps.py), or the alert about what was given up.
"""

from __future__ import annotations

from datetime import datetime

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.pipeline.automation.backfill_record import running_backfill
from serving_assets.pipeline.automation.gaps import Gap, find_gaps
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.clock import now
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.tags import DAYS_TAG, FIXES_TAG, INPUTS_TAG, PRIORITY_TAG
from serving_assets.pipeline.platform import Platform

EVERY_SECONDS = 300


def catch_up_sensor(
    use_case: BoundUseCase, job: dg.UnresolvedAssetJobDefinition, platform: Platform
) -> dg.SensorDefinition:
    """Return the sensor `<use_case>_catch_up`."""

    @dg.sensor(
        name=f"{use_case.name}_catch_up",
        job=job,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests days without predictions, the newest day again when late data changed it, and a "
        f"publication that is missing; gives up after {use_case.spec.catch_up.attempts} attempts.",
    )
    def catch_up(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        requests, report = evaluate(DagsterView(context.instance), platform, use_case, now())
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else dg.SkipReason(report))

    return catch_up


def evaluate(
    view: InstanceView, platform: Platform, use_case: BoundUseCase, instant: datetime
) -> tuple[list[dg.RunRequest], str]:
    """Return what one tick requests, and the state of every gap as text."""
    if backfill := running_backfill(view, use_case.name):
        return [], f"Backfill {backfill} is running."
    found = find_gaps(view, platform, use_case, instant)
    requests = [request(gap, Priority.CATCH_UP) for gap in chosen(found, use_case.spec.catch_up.runs_at_once)]
    return requests, "\n".join(f"{gap.state}: {gap.why}" for gap in found) or "Nothing is missing."


def chosen(found: list[Gap], most: int) -> list[Gap]:
    """Return what one tick requests: the newest that are due, as many as may run at once."""
    busy = sum(gap.state == "waiting" and bool(gap.keys) for gap in found)
    due = [gap for gap in found if gap.state == "due"]
    return due[: max(0, most - busy)]


def request(gap: Gap, priority: Priority) -> dg.RunRequest:
    """Return the run that closes the gap. Its key holds the attempt: a tick that is repeated launches nothing twice."""
    return dg.RunRequest(
        run_key=f"{gap.day or 'publication'}:{gap.inputs}:{gap.attempts}",
        partition_key=str(gap.day) if gap.day else None,
        asset_selection=list(gap.keys),
        tags={
            FIXES_TAG: gap.fixes,
            INPUTS_TAG: str(gap.inputs),
            DAYS_TAG: gap.use_case,
            PRIORITY_TAG: str(priority.value),
        },
    )
