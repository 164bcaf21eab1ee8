"""The jobs: a domain's tables; a use case's daily run, from landed files to what readers get, and its training.

Here: which assets a job holds, its priority, and the schedule of the training. Not here: when a day is run
(daily_schedule.py, arrivals_sensor.py, catch_up_sensor.py), or backfills over a range (local_runner/backfill_steps.py).
"""

from __future__ import annotations

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import Weekly
from serving_assets.pipeline.asset_keys import TRAINING_STAGES, daily_job_name, daily_keys, stage_keys, tables_job_name
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.tags import DAYS_TAG, PRIORITY_TAG
from serving_assets.pipeline.platform import Platform

CRON_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def use_case_jobs(use_case: BoundUseCase) -> tuple[dg.UnresolvedAssetJobDefinition, dg.UnresolvedAssetJobDefinition]:
    """Return the daily job and the training of a use case."""
    training = dg.AssetSelection.assets(*stage_keys(use_case, TRAINING_STAGES))
    tags = {"use_case": use_case.name}
    daily = dg.define_asset_job(
        daily_job_name(use_case),
        selection=dg.AssetSelection.assets(*daily_keys(use_case)).upstream() - training,
        description=f"One day of {use_case.name}: from landed files to what readers get.",
        tags={**tags, DAYS_TAG: use_case.name, PRIORITY_TAG: str(Priority.DAILY.value)},
    )
    train = dg.define_asset_job(
        f"{use_case.name}_training",
        selection=training,
        description=f"Train {use_case.name}, measure it, and make it champion if it is fit.",
        tags=tags,
    )
    return daily, train


def tables_job(domain: str, platform: Platform) -> dg.UnresolvedAssetJobDefinition:
    """Return the job of a domain's raw and mapped tables, which all use cases share."""
    keys = (dg.AssetKey([t.layer, t.name]) for t in platform.catalog.tables.values() if t.domain.name == domain)
    return dg.define_asset_job(
        tables_job_name(domain),
        selection=dg.AssetSelection.assets(*keys),
        description=f"Raw and mapped tables of {domain}: of the days whose files have arrived.",
        tags={"domain": domain, PRIORITY_TAG: str(Priority.TABLES.value)},
    )


def training_schedule(at: Weekly, job: dg.UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the weekly schedule of a training job."""
    hour, minute = at.at.split(":")[:2]
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * {CRON_DAYS.index(at.day)}",
        execution_timezone=at.timezone,
        description=f"Trains again, weekly on {at.day} at {at.at} {at.timezone}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
