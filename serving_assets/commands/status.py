"""`status`: per use case, how far each stage is, what readers get, and which checks fail.

Here: gathering it from the Dagster instance, the store and the registry, and its screen. Not here: the checks.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from rich.table import Table

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.workspace import Workspace, console
from serving_assets.errors import ServingAssetsError
from serving_assets.pipeline.operations.backfill import upstream_tables
from serving_assets.pipeline.operations.jobs import DAILY_STAGES, TRAINING_STAGES, stage_keys


def gather(workspace: Workspace, use_case: BoundUseCase) -> dict[str, Any]:
    """The state of one use case in plain values."""
    tables = upstream_tables(workspace.catalog, use_case)
    keys = [*tables, *stage_keys(use_case, DAILY_STAGES), *stage_keys(use_case, TRAINING_STAGES)]
    control = workspace.platform.store.control(use_case.name)
    published = control.published if control else None
    return {
        "use_case": use_case.name,
        "stages": {key.to_user_string(): _newest(workspace, key) for key in keys},
        "generation": published.number if published else None,
        "as_of": published.as_of if published else None,
        "published_at": published.published_at if published else None,
        "documents": published.rows if published else None,
        "served_model": published.model_version if published else None,
        "champion": _champion(workspace, use_case),
        "failing_checks": _failing(workspace, set(keys)),
    }


def print_status(state: dict[str, Any]) -> None:
    """The state of one use case as a screen."""
    console.print(f"[bold]{state['use_case']}[/]")
    if state["generation"] is None:
        console.print("  readers get   nothing yet: nothing has been published")
    else:
        console.print(
            f"  readers get   generation {state['generation']}, {state['documents']:,} predictions as of {state['as_of']}, "
            f"published {state['published_at']}"
        )
    console.print(f"  champion      {'version ' + state['champion'] if state['champion'] else 'none: train first'}")
    table = Table("stage", "newest", box=None, header_style="bold", padding=(0, 2))
    for stage, newest in state["stages"].items():
        table.add_row(stage, newest or "[dim]never[/]")
    console.print(table)
    for check in state["failing_checks"]:
        color = "red" if check["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]{check['severity']}[/] {check['asset']} {check['check']}: {check['said']}")
    if not state["failing_checks"]:
        console.print("  [green]no check fails[/]")


def _newest(workspace: Workspace, key: dg.AssetKey) -> str | None:
    """The newest partition; for an asset without partitions, when it was last made."""
    partitions = workspace.instance.get_materialized_partitions(key)
    if partitions:
        return max(partitions)
    event = workspace.instance.get_latest_materialization_event(key)
    if event is None:
        return None
    from datetime import UTC, datetime

    return f"made {datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec='seconds')}"


def _champion(workspace: Workspace, use_case: BoundUseCase) -> str | None:
    try:
        return workspace.platform.registry.champion(use_case.name)
    except ServingAssetsError:
        return None


def _failing(workspace: Workspace, assets: set[dg.AssetKey]) -> list[dict[str, str]]:
    """Checks whose newest evaluation did not pass, errors first."""
    graph = workspace.defs.resolve_asset_graph()
    keys = [key for key in graph.asset_check_keys if key.asset_key in assets]
    records = workspace.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failing = []
    for key, record in records.items():
        evaluation = record.evaluation
        if record.status == AssetCheckExecutionRecordStatus.FAILED and evaluation is not None:
            failing.append(
                {
                    "asset": key.asset_key.to_user_string(),
                    "check": key.name,
                    "severity": evaluation.severity.value,
                    "said": evaluation.description or "",
                    "partition": evaluation.partition or "",
                }
            )
    return sorted(failing, key=lambda check: (check["severity"] != "ERROR", check["asset"]))
