"""What the package imports: no circle of modules, and Dagster's private modules behind one folder.

Not here: the order of the packages, which import-linter keeps (pyproject.toml).
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from serving_assets.settings import PROJECT

PACKAGE = PROJECT / "serving_assets"
SEAM = PACKAGE / "pipeline" / "dagster_instance"
STORAGES = {"event_log_storage", "run_storage", "schedule_storage", "daemon_cursor_storage"}
"""Attributes of an instance that lead past its own methods."""
PRIVATE_NAMES = {
    "asset_graph": {
        "dagster._core.definitions.assets.graph.asset_graph.AssetGraph",
        "dagster._core.definitions.assets.graph.base_asset_graph.BaseAssetNode",
    },
    "automations": {
        "dagster._core.scheduler.instigation.InstigatorStatus",
        "dagster._core.scheduler.instigation.InstigatorTick",
        "dagster._core.scheduler.instigation.TickStatus",
    },
    "check_examples": {
        "dagster._core.storage.event_log.schema.AssetCheckExecutionsTable",
        "dagster._core.storage.event_log.schema.SqlEventLogStorageTable",
        "dagster._core.storage.event_log.sql_event_log.SqlEventLogStorage",
        "dagster._serdes.deserialize_value",
        "dagster._serdes.serialize_value",
    },
    "check_records": {
        "dagster._core.storage.asset_check_execution_record.AssetCheckExecutionRecord",
        "dagster._core.storage.asset_check_execution_record.AssetCheckExecutionRecordStatus",
    },
    "clock": {"dagster._time.get_current_datetime"},
    "dagster_view": {
        "dagster._core.execution.backfill.BulkActionStatus",
        "dagster._core.execution.backfill.BulkActionsFilter",
    },
    "events": {"dagster._core.event_api.EventLogCursor"},
    "freshness_state": {
        "dagster._core.definitions.assets.graph.base_asset_graph.BaseAssetNode",
        "dagster._core.definitions.freshness.CronFreshnessPolicy",
        "dagster._core.definitions.freshness.FreshnessState",
        "dagster._core.definitions.freshness_evaluator.FRESHNESS_EVALUATORS_BY_POLICY_TYPE",
        "dagster._core.loader.LoadingContextForTest",
    },
    "runs": {
        "dagster._core.storage.dagster_run.FINISHED_STATUSES",
        "dagster._core.storage.dagster_run.NOT_FINISHED_STATUSES",
    },
    "sqlite_speedups": {
        "dagster._core.instance.ref.InstanceRef",
        "dagster._core.storage.base_storage.DagsterStorage",
        "dagster._core.storage.compute_log_manager.CapturedLogContext",
        "dagster._core.storage.event_log.sqlite.sqlite_event_log.SqliteEventLogStorage",
        "dagster._core.storage.local_compute_log_manager.LocalComputeLogManager",
        "dagster._core.storage.runs.sqlite.sqlite_run_storage.SqliteRunStorage",
        "dagster._core.storage.schedules.sqlite.sqlite_schedule_storage.SqliteScheduleStorage",
        "dagster._serdes.ConfigurableClass",
        "dagster._serdes.ConfigurableClassData",
    },
    "tags": {
        "dagster._core.storage.tags.ASSET_PARTITION_RANGE_END_TAG",
        "dagster._core.storage.tags.ASSET_PARTITION_RANGE_START_TAG",
        "dagster._core.storage.tags.BACKFILL_ID_TAG",
        "dagster._core.storage.tags.PARTITION_NAME_TAG",
        "dagster._core.storage.tags.PRIORITY_TAG",
        "dagster._core.storage.tags.ROOT_RUN_ID_TAG",
        "dagster._core.storage.tags.SCHEDULE_NAME_TAG",
        "dagster._core.storage.tags.WILL_RETRY_TAG",
    },
}
"""All that an upgrade of Dagster may take away without notice, by the module of the seam that uses it."""


def modules() -> dict[Path, ast.Module]:
    """Every module of the package, parsed."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}


def private_names(tree: ast.Module) -> set[str]:
    """The names that a module imports from private modules of Dagster, and those that it writes in a string."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagster"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            found.add(node.value)
    return {
        name for name in found if name.startswith("dagster") and any(p.startswith("_") for p in name.split(".")[1:])
    }


def test_no_module_imports_itself_through_others() -> None:
    """There is no circle of imports: not between a package and its own modules, and not for types alone."""
    graph = grimp.build_graph("serving_assets", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    TopologicalSorter(imports).prepare()


def test_private_names_of_dagster_stand_in_one_folder() -> None:
    """Outside of the seam no module names a private module of Dagster, and each name in the seam is listed here."""
    found = {path: names for path, tree in modules().items() if (names := private_names(tree))}
    outside = {str(path.relative_to(PROJECT)): sorted(names) for path, names in found.items() if path.parent != SEAM}
    assert outside == {}
    assert {path.stem: names for path, names in found.items()} == PRIVATE_NAMES


def test_the_storages_of_an_instance_are_reached_through_the_seam() -> None:
    """No module outside of the seam reaches past the methods of an instance into its storages."""
    outside = [
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for path, tree in modules().items()
        if path.parent != SEAM
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in STORAGES
    ]
    assert outside == []
