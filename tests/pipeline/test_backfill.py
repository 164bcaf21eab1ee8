"""Ranges of days: by the command, and by Dagster's own daemon, as the UI launches them.

Not here: the command's screen (tests/e2e).
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.commands.backfill import run_backfill
from serving_assets.lake import DayRange
from serving_assets.pipeline.operations import backfill
from serving_assets.pipeline.operations.runs import Outcome
from serving_assets.pipeline.workspace import Workspace
from tests.pipeline.slice import DAY, NAME, Bench

RANGE = DayRange(date(2017, 5, 26), date(2017, 5, 28))
NOW = datetime(2017, 6, 1, 5, tzinfo=ZoneInfo("America/New_York"))
"""When the daemon works: DAY is the newest partition that there is."""


@dataclass(frozen=True)
class BenchWorkspace(Workspace):
    """What the commands stand on, over a bench."""

    bench: Bench

    @cached_property
    def defs(self) -> dg.Definitions:
        """The bench's."""
        return self.bench.defs

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The bench's."""
        return self.bench.instance


def stages(outcome: Outcome) -> list[str]:
    """The stages of the use case that a run made, in their order."""
    return [made.asset.partition("/")[2] for made in outcome.made if made.asset.startswith(NAME)]


@given(first=st.dates(date(2017, 1, 1), date(2020, 1, 1)), days=st.integers(1, 900), size=st.integers(1, 120))
def test_chunks_are_the_range_in_pieces(first: date, days: int, size: int) -> None:
    """The chunks of a range follow each other without a gap, none is longer than allowed, all but the last are full."""
    whole = DayRange(first, first + timedelta(days=days - 1))
    found = backfill.chunks(whole, size)
    assert [day for chunk in found for day in chunk.days()] == list(whole.days())
    assert {len(chunk) for chunk in found[:-1]} <= {size}
    assert len(found[-1]) <= size


def test_a_backfill_publishes_once_at_its_end(bench: Bench) -> None:
    """Tables in one run for the range, predictions in one a day, one publication after all of them."""
    tables, *days, publication = run_backfill(BenchWorkspace(bench), bench.use_case, RANGE)
    assert (tables.days, stages(tables)) == (RANGE, [])
    assert [(one.days, stages(one)) for one in days] == [
        (DayRange(day, day), ["features", "predictions", "historic"]) for day in RANGE.days()
    ]
    assert {"latest", "online"} <= set(stages(publication))
    assert all(outcome.success for outcome in (tables, *days, publication))


def test_a_missing_delivery_stops_a_backfill_before_it_reads_gaps(bench: Bench) -> None:
    """When a day of the range has not landed, its chunk fails with the folder named, and nothing is scored."""
    missing = bench.landed("transactions", date(2017, 5, 27))
    missing.unlink()
    (outcome,) = run_backfill(BenchWorkspace(bench), bench.use_case, RANGE)
    assert any(str(missing.parent) in said for said in outcome.failures)
    assert "raw/transactions" not in {made.asset for made in outcome.made}


def test_a_bad_day_fails_alone(bench: Bench) -> None:
    """Of a range with one day that fails a check, the others are scored and published."""
    bad = date(2017, 5, 27)
    late = "SELECT * REPLACE (TIMESTAMPTZ '2017-05-28 04:00:00+00' AS last_purchased_at) FROM t"
    bench.rewrite("mapped/household_days", late, {"day": bad})
    done = list(backfill.backfill_predictions(bench.defs, bench.instance, bench.use_case, RANGE))
    assert [outcome.success for outcome in done] == [True, False, True]
    assert "point_in_time" in done[1].failures[0]
    assert backfill.publish(bench.defs, bench.instance, bench.use_case).success
    kept = bench.rows("historic", "DISTINCT scored_for")
    assert [row["scored_for"] for row in kept] == [RANGE.first, RANGE.last, DAY]


def daemon_instance(bench: Bench) -> dg.DagsterInstance:
    """The bench's instance, with a launcher that runs in this process instead of starting one."""
    launcher = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    overrides = {"run_launcher": launcher, "run_coordinator": coordinator, "telemetry": {"enabled": False}}
    return dg.DagsterInstance.local_temp(str(bench.root / "dagster"), overrides=overrides)


def location(bench: Bench) -> InProcessWorkspaceLoadTarget:
    """The bench's definitions as a code location."""
    file = bench.root / "location.py"
    file.write_text(
        "from pathlib import Path\nfrom tests.pipeline.slice import Bench, small_catalog\n"
        f"defs = Bench(Path({str(bench.root)!r}), small_catalog()).defs\n"
    )
    target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file), attribute="defs")
    return InProcessWorkspaceLoadTarget([InProcessCodeLocationOrigin(loadable_target_origin=target, location_name="x")])


def launch(bench: Bench, instance: dg.DagsterInstance, keys: list[dg.AssetKey], days: DayRange) -> PartitionBackfill:
    """Launch a backfill as the UI does, and let the daemon work on it until it is done."""
    with create_test_daemon_workspace_context(location(bench), instance) as context:
        instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                backfill_id="from_the_ui",
                asset_graph=context.create_request_context().asset_graph,
                partition_names=[str(day) for day in days.days()],
                asset_selection=keys,
                backfill_timestamp=NOW.timestamp(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
        )
        for _ in range(20):
            errors = list(execute_backfill_iteration(context, logging.getLogger("daemon")))
            assert not any(errors), errors
            found = instance.get_backfill("from_the_ui")
            assert found is not None
            if found.status != BulkActionStatus.REQUESTED:
                break
    return found


def test_a_backfill_from_the_ui_takes_later_days_along(bench: Bench) -> None:
    """Of the whole graph, tables take the days in one run, all days that depend on them follow, publication ends it."""
    instance, chosen = daemon_instance(bench), DayRange(DAY - timedelta(days=2), DAY - timedelta(days=1))
    keys = sorted(bench.defs.resolve_job_def(f"{NAME}_daily").asset_layer.executable_asset_keys)
    done = launch(bench, instance, keys, chosen)
    assert done.status == BulkActionStatus.COMPLETED_SUCCESS
    wanted = dg.RunsFilter(tags={"dagster/backfill": "from_the_ui"})
    runs = [record.dagster_run.asset_selection or set() for record in instance.get_run_records(wanted, ascending=True)]
    ran = Counter(key for run in runs for key in run)
    daily = {bench.asset(stage) for stage in ("features", "predictions", "historic")}
    assert {key: ran[key] for key in keys} == {key: 3 if key in daily else 1 for key in keys}
    assert bench.asset("online") in runs[-1]
    scored = {row["scored_for"] for row in bench.rows("historic", "DISTINCT scored_for")}
    assert scored == {*chosen.days(), DAY}
