"""Ranges of days: by the command, and by Dagster's own daemon, as the UI launches them.

Not here: the command's screen (tests/e2e).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.backfill import execute_backfill_iteration
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.commands.backfill import run_backfill
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.lake.day_ranges import chunks
from serving_assets.local_runner import backfill, backfill_steps
from serving_assets.local_runner.run_assets import Outcome
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.automation import backfill_record
from serving_assets.pipeline.automation.backfill_record import Phase
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG, DAYS_TAG
from tests.pipeline.daemons import LOGGER, code_location, daemon_instance
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
    found = chunks(whole, size)
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


@pytest.mark.long
def test_a_day_whose_file_is_missing_fails_alone(bench: Bench) -> None:
    """Of a range in which one day has not landed, that day alone fails, with the folder named, and is not scored."""
    missing = bench.landed("transactions", date(2017, 5, 27))
    missing.unlink()
    done = run_backfill(BenchWorkspace(bench), bench.use_case, RANGE)
    (failed,) = [outcome for outcome in done if not outcome.success]
    assert failed.days == DayRange(date(2017, 5, 27), date(2017, 5, 27))
    assert any(str(missing.parent) in said for said in failed.failures)
    assert {row["scored_for"] for row in bench.rows("historic", "DISTINCT scored_for")} == {
        RANGE.first,
        RANGE.last,
        DAY,
    }
    (found,) = backfill_record.all_backfills(bench.view)
    progress = backfill_record.progress_of(bench.view, found.id)
    assert (found.state, sorted(progress.scored), progress.published) == ("ended", [RANGE.first, RANGE.last], True)
    assert progress.failed == {date(2017, 5, 27): failed.run_id}


@pytest.mark.long
def test_what_is_wrong_with_all_days_is_not_tried_day_by_day(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a few days have failed alone, the rest fails in pieces: 16 days cost 9 runs here, not 31."""
    monkeypatch.setattr(backfill_steps, "MOST_BAD_DAYS", 2)
    whole = DayRange(DAY - timedelta(days=15), DAY)
    for day in whole.days():
        bench.landed("coupon_redemptions", day).unlink()
    before = bench.instance.get_runs_count()
    done = list(backfill_steps.backfill_tables(bench.defs, bench.instance, bench.catalog, bench.use_case, whole))
    assert [len(outcome.days or whole) for outcome in done] == [1, 1, 2, 4, 8]
    assert not any(outcome.success for outcome in done)
    assert bench.instance.get_runs_count() - before == 9


def test_a_backfill_is_paused_and_resumed(bench: Bench) -> None:
    """Paused after its first day it stops; resumed, even by another process, it does the rest and publishes once."""
    workspace = BenchWorkspace(bench)
    ordered = backfill_record.order(bench.view, bench.use_case, RANGE, only_tables=False)
    made: list[tuple[Phase, Outcome]] = []
    for phase, outcome in backfill.carry_out(workspace, ordered):
        made.append((phase, outcome))
        if phase is Phase.PREDICTIONS:
            backfill_record.pause(bench.view, ordered.id)
    paused = backfill_record.backfill_of(bench.view, ordered.id)
    progress = backfill_record.progress_of(bench.view, ordered.id)
    assert (paused.state, sorted(progress.scored), progress.published) == ("paused", [RANGE.first], False)
    assert backfill_record.running_backfill(bench.view, NAME) is None
    made += backfill.carry_out(workspace, paused)
    days = {phase: [outcome.days for each, outcome in made if each is phase] for phase in Phase}
    assert days == {
        Phase.TABLES: [RANGE],
        Phase.PREDICTIONS: [DayRange(day, day) for day in RANGE.days()],
        Phase.PUBLICATION: [None],
    }
    assert backfill_record.backfill_of(bench.view, ordered.id).state == "ended"


def test_a_killed_backfill_is_known_and_goes_on(bench: Bench) -> None:
    """A backfill whose process is gone is interrupted; one that another process carries out cannot be taken over."""
    workspace = BenchWorkspace(bench)
    ordered = backfill_record.order(bench.view, bench.use_case, RANGE, only_tables=True)
    host = this_process().rpartition(":")[0]
    backfill_record.record(bench.view, replace(ordered, process=f"{host}:{2**22 + 1}"))
    killed = backfill_record.backfill_of(bench.view, ordered.id)
    assert killed.state == "interrupted"
    with pytest.raises(InputError, match="interrupted"):
        backfill_record.pause(bench.view, ordered.id)
    tags = {BACKFILL_TAG: ordered.id}
    run = create_run_for_test(bench.instance, tags=tags, status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(InputError, match="elsewhere:7"):
        next(backfill.carry_out(workspace, replace(killed, process="elsewhere:7")))
    bench.instance.report_run_failed(run)
    assert [outcome.success for _, outcome in backfill.carry_out(workspace, killed)] == [True]
    assert backfill_record.backfill_of(bench.view, ordered.id).state == "ended"


def test_a_backfill_gives_way_to_what_readers_wait_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run of single days of the use case is at work, a backfill begins no further run."""
    monkeypatch.setattr(backfill, "POLL_SECONDS", 0.0)
    workspace, waited = BenchWorkspace(bench), list[str]()
    daily = create_run_for_test(bench.instance, tags={DAYS_TAG: NAME}, status=dg.DagsterRunStatus.STARTED)

    def told(run_id: str) -> None:
        waited.append(run_id)
        if len(waited) == 3:
            bench.instance.report_run_canceled(daily)

    one = DayRange(RANGE.first, RANGE.first)
    ordered = backfill_record.order(bench.view, bench.use_case, one, only_tables=False)
    assert len(list(backfill.carry_out(workspace, ordered, told))) == 3
    assert waited == [daily.run_id] * 3


def test_a_bad_day_fails_alone(bench: Bench) -> None:
    """Of a range with one day that fails a check, the others are scored and published."""
    bad = date(2017, 5, 27)
    late = "SELECT * REPLACE (TIMESTAMPTZ '2017-05-28 04:00:00+00' AS last_purchased_at) FROM t"
    bench.rewrite("mapped/household_days", late, {"day": bad})
    done = list(backfill_steps.backfill_predictions(bench.defs, bench.instance, bench.use_case, RANGE.days()))
    assert [outcome.success for outcome in done] == [True, False, True]
    assert "point_in_time" in done[1].failures[0]
    assert backfill_steps.publish(bench.defs, bench.instance, bench.use_case).success
    kept = bench.rows("historic", "DISTINCT scored_for")
    assert [row["scored_for"] for row in kept] == [RANGE.first, RANGE.last, DAY]


def launch(bench: Bench, instance: dg.DagsterInstance, keys: list[dg.AssetKey], days: DayRange) -> PartitionBackfill:
    """Launch a backfill as the UI does, and let the daemon work on it until it is done."""
    with code_location(bench, instance) as context:
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
            errors = list(execute_backfill_iteration(context, LOGGER))
            assert not any(errors), errors
            found = instance.get_backfill("from_the_ui")
            assert found is not None
            if found.status != BulkActionStatus.REQUESTED:
                break
    assert found is not None
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
