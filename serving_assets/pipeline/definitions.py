"""Assemble everything that Dagster runs from the catalog.

Here: one function that takes overrides, so that a test builds the same graph over other folders. Not here: any asset.
"""

from __future__ import annotations

import warnings

import dagster as dg

from serving_assets.catalog.discovery import Catalog, open_catalog
from serving_assets.pipeline.automation.arrivals_sensor import arrivals_sensor
from serving_assets.pipeline.automation.catch_up_sensor import catch_up_sensor
from serving_assets.pipeline.automation.daily_schedule import daily_schedule
from serving_assets.pipeline.automation.freshness_policies import with_freshness
from serving_assets.pipeline.automation.housekeeping_job import housekeeping_job, housekeeping_schedule
from serving_assets.pipeline.automation.jobs import tables_job, training_schedule, use_case_jobs
from serving_assets.pipeline.automation.rescoring_schedule import rescoring_schedule
from serving_assets.pipeline.automation.rollback_jobs import decision_jobs
from serving_assets.pipeline.broken_declarations import broken_assets, broken_checks
from serving_assets.pipeline.observing.alert_sensor import alert_sensor
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import features_asset
from serving_assets.pipeline.stages.historic import historic_asset
from serving_assets.pipeline.stages.latest import latest_asset
from serving_assets.pipeline.stages.mapped import mapped_asset
from serving_assets.pipeline.stages.online import online_asset
from serving_assets.pipeline.stages.online_features import online_features_asset
from serving_assets.pipeline.stages.predictions import predictions_asset
from serving_assets.pipeline.stages.raw import raw_asset
from serving_assets.pipeline.stages.training import training_assets
from serving_assets.settings import Settings, get_settings

PRELOADED = ["serving_assets.pipeline.definitions", "duckdb", "deltalake", "pyarrow"]
"""What the fork server imports once, so that a step's process starts in half a second instead of four."""


def build_defs(settings: Settings | None = None, catalog: Catalog | None = None) -> dg.Definitions:
    """Return the definitions of a workspace: the environment's by default.

    A folder of the catalog that is broken is shown as such, and stops no other.

    Raises:
        DeclarationError: there is no catalog.
    """
    settings = settings or get_settings()
    # A job of partitions backfills one day a run, as its strictest stage does: intended.
    warnings.filterwarnings("ignore", message="Asset job .* materializes assets with varying BackfillPolicies")
    platform = Platform(settings, catalog or open_catalog(settings.catalog_dir))
    with warnings.catch_warnings():
        # Code references and backfill policies are beta; the lock pins what was tried, and forty warnings hide others.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return _assemble(platform)


def _assemble(platform: Platform) -> dg.Definitions:
    assets: list[dg.AssetsDefinition] = []
    for table in platform.catalog.tables.values():
        assets.append((raw_asset if table.layer == "raw" else mapped_asset)(table, platform))
    housekeeping = housekeeping_job()
    jobs: list[dg.JobDefinition | dg.UnresolvedAssetJobDefinition] = [housekeeping, *decision_jobs(platform)]
    schedules = [housekeeping_schedule(housekeeping)]
    sensors = [alert_sensor(platform)]
    for domain in platform.catalog.domains:
        jobs.append(tables := tables_job(domain, platform))
        sensors.append(arrivals_sensor(domain, tables, platform))
    for use_case in platform.catalog.use_cases.values():
        assets += [
            features_asset(use_case, platform),
            *training_assets(use_case, platform),
            predictions_asset(use_case, platform),
            historic_asset(use_case, platform),
            latest_asset(use_case, platform),
            *online_asset(use_case, platform),
            *online_features_asset(use_case, platform),
        ]
        daily, training = use_case_jobs(use_case)
        jobs += [daily, training]
        schedules += [
            daily_schedule(use_case, daily, platform),
            training_schedule(use_case.spec.training_schedule, training),
            rescoring_schedule(use_case, daily, platform),
        ]
        sensors.append(catch_up_sensor(use_case, daily, platform))
    return dg.Definitions(
        assets=[*with_freshness(assets, platform.catalog), *broken_assets(platform.catalog)],
        asset_checks=broken_checks(platform.catalog),
        jobs=jobs,
        schedules=schedules,
        sensors=sensors,
        resources={"platform": platform},
        executor=_executor(platform.settings),
    )


def _executor(settings: Settings) -> dg.ExecutorDefinition:
    if settings.executor == "in_process":
        return dg.in_process_executor
    start = {"forkserver": {"preload_modules": PRELOADED}}
    return dg.multiprocess_executor.configured({"max_concurrent": settings.engine_threads, "start_method": start})
