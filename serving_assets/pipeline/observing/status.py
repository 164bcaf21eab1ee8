"""The state of a use case: how far each stage is and how timely, what readers get, what is lacking and what fails.

Here: gathering it from the Dagster instance, the store and the registry. Not here: its screen (commands/status.py).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from serving_assets.alerts.message import Links
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import DayRange
from serving_assets.pipeline.asset_keys import TRAINING_STAGES, daily_keys, stage_keys, upstream_tables
from serving_assets.pipeline.automation.gaps import find_gaps
from serving_assets.pipeline.dagster_instance import check_records
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.observing.alert_sensor import summary
from serving_assets.pipeline.observing.finding_builder import PLATFORM
from serving_assets.pipeline.observing.last_training import last_training
from serving_assets.pipeline.observing.runbooks import (
    LEASE_HELD,
    REGISTRY_UNREACHABLE,
    STORE_LOST,
    STORE_UNREACHABLE,
)
from serving_assets.pipeline.observing.timeliness import newest_day, timeliness
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, is_lost, origin, standing
from serving_assets.pipeline.publishing.dead_leases import is_over
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of
from serving_assets.pipeline.publishing.rollback import one_write_to
from serving_assets.store import Lease

FAILED_SINCE = timedelta(days=1)
RUNS_READ = 50
DAYS_LOOKED_AT = 30
"""Of the newest days, those whose failed checks are shown although a newer day passed."""


def gather(
    instance: dg.DagsterInstance, platform: Platform, defs: dg.Definitions, use_case: BoundUseCase
) -> dict[str, Any]:
    """The state of one use case in plain values."""
    now = datetime.now(UTC)
    tables = upstream_tables(platform.catalog, use_case)
    keys = [*tables, *daily_keys(use_case), *stage_keys(use_case, TRAINING_STAGES)]
    return {
        "use_case": use_case.name,
        "stages": {key.to_user_string(): _newest(instance, key) for key in keys},
        "online": {c.asset: _online(instance, platform, c) for c in collections_of(use_case)},
        **_champion(platform, use_case),
        "training": last_training(instance, use_case.name),
        "alerts": summary(platform.settings, (use_case.name, use_case.domain.name, PLATFORM), now),
        "timeliness": [asdict(found) for found in timeliness(instance, platform, defs, use_case, now)],
        "failed_runs": _failed_runs(instance, set(keys), now),
        "gaps": [
            {"day": gap.day, "state": gap.state, "why": gap.why}
            for gap in find_gaps(DagsterView(instance), platform, use_case, now)
        ],
        "failing_checks": _failing(instance, platform, defs, set(keys)),
    }


def _online(instance: dg.DagsterInstance, platform: Platform, collection: PublishedCollection) -> dict[str, Any]:
    """What readers get of one collection, and how to go back; without the store, why that is unknown."""
    try:
        control = platform.store.control(collection.name)
    except ServingAssetsError as error:
        return {"unknown": str(error), "lost": False, "generation": None, "runbook": _page(platform, STORE_UNREACHABLE)}
    log = ActivationLog(platform, collection).entries(control)
    published = control.published if control else None
    lost, counting = is_lost(control, log), standing(log)
    return {
        "unknown": None,
        "lost": lost,
        "generation": published.number if published else log[-1].generation.number if lost else None,
        "documents_of": origin(published) if published else None,
        "since": control.since if control else None,
        "as_of": published.as_of if published else None,
        "published_at": published.published_at if published else None,
        "documents": published.rows if published else None,
        "served_model": published.model_version if published else None,
        "pinned": asdict(control.pinned) if control and control.pinned else None,
        "previous": control.previous if control else None,
        "rollback_to": counting[-2] if len(counting) > 1 else None,
        "one_write_rollback_to": one_write_to(control) if control else None,
        "lease": _lease(instance, platform, control.lease) if control and control.lease else None,
        "runbook": _page(platform, STORE_LOST) if lost else None,
    }


def _lease(instance: dg.DagsterInstance, platform: Platform, lease: Lease) -> dict[str, Any]:
    """Who may write to a collection, until when, and whether that run is over and will not."""
    return {
        "writer": lease.writer,
        "until": datetime.fromtimestamp(lease.expires_at, UTC).isoformat(timespec="seconds"),
        "stale": lease.expires_at < datetime.now(UTC).timestamp() or is_over(instance, lease.writer),
        "runbook": _page(platform, LEASE_HELD),
    }


def _page(platform: Platform, name: str) -> str:
    """Where the runbook of that name is read."""
    return Links.of(platform.settings).runbook_of(name)


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey) -> str | None:
    """The newest partition; for an asset without partitions, when it was last made."""
    partitions = instance.get_materialized_partitions(key)
    if partitions:
        return max(partitions)
    event = instance.get_latest_materialization_event(key)
    if event is None:
        return None
    return f"made {datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec='seconds')}"


def _champion(platform: Platform, use_case: BoundUseCase) -> dict[str, str | None]:
    """The version that scores, and why it is not known: the rest of the page must be there without the registry."""
    page = _page(platform, REGISTRY_UNREACHABLE)
    try:
        version = platform.registry.champion(use_case.name)
        return {"champion": version, "champion_unknown": None, "champion_runbook": None}
    except ServingAssetsError as error:
        return {"champion": None, "champion_unknown": str(error), "champion_runbook": page}


def _failed_runs(instance: dg.DagsterInstance, assets: set[dg.AssetKey], now: datetime) -> list[dict[str, Any]]:
    """Runs of the last day that failed and whose assets have not been made since, newest first."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=now - FAILED_SINCE)
    found = []
    for record in instance.get_run_records(filters, limit=RUNS_READ):
        run, ended = record.dagster_run, record.end_time or record.create_timestamp.timestamp()
        theirs = sorted((run.asset_selection or frozenset()) & assets)
        made = DagsterView(instance).newest_of(theirs)
        left = [key for key in theirs if key not in made or made[key].at.timestamp() < ended]
        if left:
            at = datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds")
            found.append({"run": run.run_id, "at": at, "assets": [key.to_user_string() for key in left]})
    return found


def _failing(
    instance: dg.DagsterInstance, platform: Platform, defs: dg.Definitions, assets: set[dg.AssetKey]
) -> list[dict[str, Any]]:
    """Checks whose newest evaluation did not pass, and days that failed a blocking check and were not made again.

    Errors come first. `days` are those that an evaluation failed for, where it says so.
    """
    graph = defs.resolve_asset_graph()
    keys = [key for key in graph.asset_check_keys if key.asset_key in assets]
    newest = {record.evaluation.asset_check_key: record for record in check_records.failing(instance, keys)}
    failing = []
    for key in keys:
        spec, node = graph.get_check_spec(key), graph.get(key.asset_key)
        record = newest.get(key)
        days = check_records.failed_days_of(record.evaluation) if record else None
        if node.is_partitioned and spec.blocking and (last := newest_day(instance, key.asset_key)):
            window = DayRange(last - timedelta(days=DAYS_LOOKED_AT - 1), last)
            unfit = {day for day in check_records.failed_days(instance, key.asset_key, key.name, window) if day}
            days = frozenset(unfit | (days or set())) or None
        if record is None and not days:
            continue
        evaluation = record.evaluation if record else None
        failing.append(
            {
                "asset": key.asset_key.to_user_string(),
                "check": key.name,
                "severity": evaluation.severity.value if evaluation else dg.AssetCheckSeverity.ERROR.value,
                "message": (evaluation.description or "") if evaluation else "Days that failed were not made again.",
                "partition": (evaluation.partition or "") if evaluation else "",
                "days": sorted(map(str, days or ())),
                "runbook": _page(platform, key.name),
            }
        )
    return sorted(failing, key=lambda check: (check["severity"] != "ERROR", check["asset"]))
