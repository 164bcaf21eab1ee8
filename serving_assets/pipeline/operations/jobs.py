"""Two jobs a use case: the daily one, from landed files to what readers get, and the training.

Here: which assets a job holds, and its schedule. Not here: backfills over a range (backfill.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import Weekly
from serving_assets.pipeline.platform import Platform

TRAINING_STAGES = ("training_set", "model", "champion")
DAILY_STAGES = ("features", "predictions", "historic", "latest", "online")
ONLINE_FEATURES = "online_features"
CRON_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def stage_keys(use_case: BoundUseCase, stages: Iterable[str]) -> list[dg.AssetKey]:
    """Asset keys of those of some stages that the use case has: what nobody reads is not published."""
    published = use_case.spec.serve.published
    return [dg.AssetKey([use_case.name, stage]) for stage in stages if published or stage != "online"]


def daily_keys(use_case: BoundUseCase) -> list[dg.AssetKey]:
    """Asset keys of all that is made every day."""
    return [*stage_keys(use_case, DAILY_STAGES), *online_features_keys(use_case)]


def online_features_keys(use_case: BoundUseCase) -> list[dg.AssetKey]:
    """The asset key of the online features; empty where none are declared."""
    return stage_keys(use_case, [ONLINE_FEATURES] if use_case.spec.online_features else [])


def use_case_jobs(
    use_case: BoundUseCase, platform: Platform
) -> tuple[list[dg.UnresolvedAssetJobDefinition], list[dg.ScheduleDefinition]]:
    """The jobs of a use case and their schedules."""
    spec = use_case.spec
    training = dg.AssetSelection.assets(*stage_keys(use_case, TRAINING_STAGES))
    tags = {"use_case": use_case.name}
    daily = dg.define_asset_job(
        f"{use_case.name}_daily",
        selection=dg.AssetSelection.assets(*daily_keys(use_case)).upstream() - training,
        description=f"One day of {use_case.name}: from landed files to what readers get.",
        tags=tags,
    )
    train = dg.define_asset_job(
        f"{use_case.name}_training",
        selection=training,
        description=f"Train {use_case.name}, measure it, and make it champion if it is fit.",
        tags=tags,
    )
    partitions = platform.partitions(use_case.domain.timezone)
    return [daily, train], [
        _daily_schedule(use_case, daily, partitions),
        _training_schedule(spec.training_schedule, train),
    ]


def _daily_schedule(
    use_case: BoundUseCase, job: dg.UnresolvedAssetJobDefinition, partitions: dg.DailyPartitionsDefinition
) -> dg.ScheduleDefinition:
    """Every day, the newest day that has ended."""
    at = use_case.spec.schedule
    hour, minute = at.at.split(":")[:2]

    @dg.schedule(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        execution_timezone=at.timezone,
        description=f"Scores the day that has just ended, daily at {at.at} {at.timezone}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def newest_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(ZoneInfo(use_case.domain.timezone))
        day = now.date() - timedelta(days=1)
        if day < partitions.start.date():
            return dg.SkipReason(f"No day has ended yet since the first partition, {partitions.start.date()}.")
        return dg.RunRequest(run_key=str(day), partition_key=str(day))

    return newest_day


def _training_schedule(at: Weekly, job: dg.UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    hour, minute = at.at.split(":")[:2]
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * {CRON_DAYS.index(at.day)}",
        execution_timezone=at.timezone,
        description=f"Trains anew, weekly on {at.day} at {at.at} {at.timezone}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
