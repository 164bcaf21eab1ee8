"""Dagster's own daemons over a bench: sensors, backfills, the run queue and freshness, in this process.

Here: an instance and a code location that they accept. Not here: what they must do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from tests.pipeline.slice import QUIET_INSTANCE, Bench

LOGGER = logging.getLogger("daemon")


def daemon_instance(bench: Bench, **overrides: Any) -> dg.DagsterInstance:
    """The bench's instance, with a launcher that runs in this process instead of starting one."""
    launcher = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    changed = {"run_launcher": launcher, "run_coordinator": coordinator, **QUIET_INSTANCE, **overrides}
    return open_instance(bench.root / "dagster", changed)


@contextmanager
def code_location(bench: Bench, instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """The bench's definitions, as a daemon loads them."""
    file = bench.root / "location.py"
    file.write_text(
        "from pathlib import Path\nfrom tests.pipeline.slice import Bench, small_catalog\n"
        f"defs = Bench(Path({str(bench.root)!r}), small_catalog()).defs\n"
    )
    target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file), attribute="defs")
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name="x")
    with create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget([origin]), instance) as context:
        yield context


def run_sensor(bench: Bench, name: str, now: datetime, change: Callable[[], None]) -> list[dg.DagsterRun]:
    """Let the daemon evaluate one sensor twice, with a change in between; the runs that it launched."""
    instance = daemon_instance(bench)
    known = {run.run_id for run in instance.get_runs()}
    with code_location(bench, instance) as context:
        with freeze_time(now):
            _only(context, instance, name)
            assert not any(execute_sensor_iteration(context, LOGGER, None, None))
        change()
        with freeze_time(now + timedelta(minutes=10)):
            assert not any(execute_sensor_iteration(context, LOGGER, None, None))
    return [run for run in instance.get_runs() if run.run_id not in known]


def _only(context: WorkspaceProcessContext, instance: dg.DagsterInstance, name: str) -> None:
    (entry,) = context.create_request_context().get_code_location_entries().values()
    assert entry.code_location is not None, entry.load_error
    (repository,) = entry.code_location.get_repositories().values()
    for sensor in repository.get_sensors():
        if sensor.name != name:
            instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
