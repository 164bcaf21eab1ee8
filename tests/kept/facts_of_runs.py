"""What the code reads of the kept workspace's Dagster instance, and of the incidents that follow from it.

Here: runs, partitions, checks, backfills, what is lacking, alerts, schedules and sensors. Not here: the lake, the store
and the rest (facts.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.selector import InstigatorSelector

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.commands.alerts import gather
from serving_assets.commands.backfills import state_of
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.automation.arrivals_sensor import Memory
from serving_assets.pipeline.automation.backfill_record import all_backfills
from serving_assets.pipeline.automation.gaps import find_gaps
from serving_assets.pipeline.checks.read_back import FORMER_NAME, READ_BACK
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.settings import PROJECT
from tests.kept.plain import ranges

NAME, REPOSITORY = "purchase_propensity", "__repository__"
EARLIER = {"message": "said", "notified": "told"}
"""How members of what `alerts --json` prints were called."""
Told = Mapping[str, Any]
"""What a reader must know and cannot read in the workspace: entities, a key, moments."""


def runs(workspace: Workspace, told: Told) -> Any:
    """Each run with its tags, the days that the code reads in them, and whether its job is there still."""
    jobs = {IMPLICIT_ASSET_JOB_NAME, *(job.name for job in workspace.defs.jobs or ())}
    return {
        run.run_id: {
            "job": run.job_name,
            "job_is_known": run.job_name in jobs,
            "status": run.status.value,
            "days": str(days_of(run.tags)) if days_of(run.tags) else None,
            "tags": dict(run.tags),
        }
        for run in workspace.instance.get_runs()
    }


def made(workspace: Workspace, told: Told) -> Any:
    """Of each asset: the days that are materialized, as ranges, and the numbers of the newest materialization."""
    found = {}
    for key in sorted(workspace.defs.resolve_asset_graph().get_all_asset_keys()):
        numbers = workspace.newest_numbers(key.to_user_string())
        if numbers:
            days = workspace.instance.get_materialized_partitions(key)
            found[key.to_user_string()] = {"days": ranges(sorted(days)), "numbers": numbers}
    return found


def checks(workspace: Workspace, told: Told) -> Any:
    """What each check said last, in runs that came as far as it."""
    storage, said = workspace.instance.event_log_storage, {}
    keys = workspace.defs.resolve_asset_graph().asset_check_keys
    former = {dg.AssetCheckKey(key.asset_key, FORMER_NAME) for key in keys if key.name == READ_BACK.name}
    for key in sorted(keys | former):
        records = storage.get_asset_check_execution_history(key, limit=5)
        told_then = (record.evaluation for record in records)
        if found := next((one for one in told_then if isinstance(one, dg.AssetCheckEvaluation)), None):
            verdict = "passed" if found.passed else found.severity.value
            said[f"{key.asset_key.to_user_string()}:{key.name}"] = [verdict, found.partition, found.description]
    return said


def backfills(workspace: Workspace, told: Told) -> Any:
    """What `backfills --json` tells."""
    return [state_of(workspace, each) for each in all_backfills(workspace.view)]


def lacks(workspace: Workspace, told: Told) -> Any:
    """What catching up finds, with the attempts that it counts by the tags of runs."""
    found = find_gaps(workspace.view, workspace.platform, workspace.catalog.use_case(NAME), datetime.now(UTC))
    return [[gap.day, gap.state, gap.fixes, gap.inputs, gap.attempts] for gap in found]


def alerts(workspace: Workspace, told: Told) -> Any:
    """What `alerts --all --json` tells, and how far the event log has been read."""
    book = IncidentStore(AlertsFile(workspace.platform.settings.alerts_file))
    found = gather(book, datetime.now(UTC), every=True)
    incidents = [{EARLIER.get(name, name): value for name, value in one.items()} for one in found["incidents"]]
    return {**found, "incidents": incidents, "cursor": book.cursor()}


def switches(workspace: Workspace, told: Told) -> Any:
    """Which schedules and sensors are remembered to be on or off, and what the arrivals remember."""
    (location,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    name, repository = location["python_module"]["location_name"], workspace.defs.get_repository_def()
    states = {state.selector_id: state for state in workspace.instance.all_instigator_state()}
    found: dict[str, Any] = {}
    for each in (*repository.schedule_defs, *repository.sensor_defs):
        selector = InstigatorSelector(location_name=name, repository_name=REPOSITORY, name=each.name)
        if state := states.pop(selector.get_id(), None):
            found[each.name] = state.status.value
            if cursor := getattr(state.instigator_data, "cursor", None):
                found["seen"] = {source: ranges(sorted(seen)) for source, seen in Memory.read(cursor).seen.items()}
    return {**found, "of nobody": len(states)}
