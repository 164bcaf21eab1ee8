"""What a run in this process tells of itself: also when it fails where no step is."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from serving_assets.local_runner.run_assets import run_assets


@dg.resource
def out_of_reach() -> object:
    """A resource that cannot be opened."""
    raise ConnectionError("no route to the database")


@dg.asset(required_resource_keys={"database"})
def needs_it() -> None:
    """Never made."""


def test_a_run_that_fails_outside_of_its_steps_is_no_success(tmp_path: Path) -> None:
    """No step has failed and no check, because none began: the run says so itself, and why."""
    defs = dg.Definitions([needs_it], resources={"database": out_of_reach})
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        outcome = run_assets(defs, instance, [needs_it.key])
    assert not outcome.success
    assert outcome.made == ()
    (failure,) = outcome.failures
    assert "no route to the database" in failure
