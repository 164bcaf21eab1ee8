"""The instance in dagster_home/ as Dagster understands it: what must hold however the file is edited.

Not here: that each setting is spelled right; Dagster refuses an unknown one when the instance is loaded, as it is here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

DAGSTER_YAML = Path(__file__).parents[2] / "dagster_home" / "dagster.yaml"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """The project's instance, with its storage in a temporary folder."""
    shutil.copy(DAGSTER_YAML, tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as loaded:
        yield loaded


def test_nothing_leaves_the_machine_unasked(instance: DagsterInstance) -> None:
    """Neither telemetry nor the UI's request for an e-mail address is on."""
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled


def test_a_run_whose_worker_is_gone_ends(instance: DagsterInstance) -> None:
    """Every run has a longest duration, after which it fails and gives its pool slots back."""
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds > 0
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0


def test_only_a_lost_worker_is_retried_as_a_run(instance: DagsterInstance) -> None:
    """A failed step does not start its whole run again, because the alert would then wait for the last attempt."""
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries > 0
    assert not instance.run_retries_retry_on_asset_or_op_failure


def test_pools_serialise_steps_of_runs_inside_and_outside_the_queue(instance: DagsterInstance) -> None:
    """A pool nobody configured lets one step in at a time, by step and not by run."""
    concurrency = instance.get_concurrency_config()
    assert concurrency.pool_config.default_pool_limit == 1
    assert concurrency.pool_config.pool_granularity is not None
    assert concurrency.pool_config.pool_granularity.value == "op"
    assert concurrency.run_queue_config is not None
    assert concurrency.run_queue_config.max_concurrent_runs == 2


def test_freshness_is_watched(instance: DagsterInstance) -> None:
    """The daemon that evaluates freshness policies is among those the instance demands."""
    assert "FRESHNESS_DAEMON" in instance.get_required_daemon_types()
