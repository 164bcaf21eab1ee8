"""The run queue of dagster_home/, as its daemon takes runs out of it: who goes first, and who waits for whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.tags import DAYS_TAG
from serving_assets.settings import PROJECT
from tests.pipeline.daemons import code_location
from tests.pipeline.slice import NAME, Bench, small_catalog

BACKFILL = {"dagster/backfill": "from_the_ui"}
PRIORITY = "dagster/priority"


def days_of(use_case: str, priority: Priority) -> dict[str, str]:
    """Tags of a run of single days."""
    return {DAYS_TAG: use_case, PRIORITY: str(priority.value)}


DAILY, CAUGHT_UP = days_of(NAME, Priority.DAILY), days_of(NAME, Priority.CATCH_UP)
OTHER, TABLES = days_of("other", Priority.DAILY), {PRIORITY: str(Priority.TABLES.value)}


@pytest.mark.parametrize(
    ("queued", "launched"),
    [
        pytest.param([BACKFILL, BACKFILL, DAILY], {0, 2}, id="a backfill leaves a place for the daily run"),
        pytest.param([BACKFILL, BACKFILL, BACKFILL], {0}, id="a backfill takes one place"),
        pytest.param([CAUGHT_UP, CAUGHT_UP, DAILY, OTHER], {2, 3}, id="days of one use case one by one, daily first"),
        pytest.param([BACKFILL, DAILY, TABLES], {1, 2}, id="tables first, then the daily run"),
    ],
)
def test_who_goes_first(tmp_path: Path, queued: list[Mapping[str, str]], launched: set[int]) -> None:
    """Of what is queued, the daemon launches two, by priority, and keeps apart what must not run side by side."""
    settings = yaml.safe_load((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    launcher = {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({**settings, "run_launcher": launcher}))
    bench = Bench(tmp_path, small_catalog())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance, code_location(bench, instance) as context:
        (location,) = context.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        origin = repository.get_full_job("housekeeping").get_remote_origin()
        waits = dg.DagsterRunStatus.QUEUED
        runs = [create_run_for_test(instance, tags=dict(t), status=waits, remote_job_origin=origin) for t in queued]
        list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(context))
        waiting = {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[waits]))}
    assert {index for index, run in enumerate(runs) if run.run_id not in waiting} == launched
