"""Catching up by real ticks: missing and failed days, late data, publications; what is given up, and when not any more.

Not here: which tables a delivery makes (test_arrivals.py).
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import create_run_for_test

from serving_assets.lake import DayRange
from serving_assets.pipeline.automation.backfill_record import order, record
from serving_assets.pipeline.automation.calendar import newest_due
from serving_assets.pipeline.automation.gaps import find_gaps, given_up
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG
from tests.pipeline.slice import DAY, NAME, Bench
from tests.pipeline.ticks import at, carried_out, entered, made, schedule_tick, sensor_tick

SENSOR, JOB = f"{NAME}_catch_up", f"{NAME}_daily"
ARRIVALS = "complete_journey_arrivals"
DUE = at("2017-06-01T07:00")
"""The deadline of DAY: until then its daily run may still come."""
SCORING = ["features", "historic", "predictions"]
EVERYTHING = ["features", "historic", "latest", "online", "online_features", "predictions"]


def asked(tick: dg.SensorExecutionData) -> list[tuple[str | None, list[str]]]:
    """Day and assets of what a tick requests, those of the use case without its name."""
    return [
        (r.partition_key, sorted(k.to_user_string().removeprefix(f"{NAME}/") for k in r.asset_selection or ()))
        for r in tick.run_requests or ()
    ]


def before(days: int) -> str:
    """The day so many days before the newest."""
    return str(DAY - timedelta(days=days))


def test_missing_days_are_requested_newest_first_and_a_few_at_a_time(bench: Bench) -> None:
    """Of the newest seven days, six have no predictions: two are requested, without publishing; then two more."""
    first = sensor_tick(bench, SENSOR, None, DUE)
    assert asked(first) == [(before(1), SCORING), (before(2), SCORING)]
    for request in first.run_requests:
        entered(bench.instance, JOB, request, dg.DagsterRunStatus.STARTED)
    second = sensor_tick(bench, SENSOR, first.cursor, DUE)
    assert asked(second) == []
    assert f"{before(1)} has no predictions: a run is at it" in second.skip_message
    for days in (1, 2):
        made(bench.instance, bench.asset("historic"), before(days))
    for run in bench.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        bench.instance.report_run_canceled(run)
    assert [day for day, _ in asked(sensor_tick(bench, SENSOR, None, DUE))] == [before(3), before(4)]


def test_the_newest_day_is_missing_from_its_deadline_on(bench: Bench) -> None:
    """A day that the daily run should have made is requested with all its stages, but not before its deadline."""
    later = DUE + timedelta(days=1)
    newest = str(DAY + timedelta(days=1))
    for source in ("transactions", "coupon_redemptions"):
        folder = bench.settings.landing / source / f"dt={newest}"
        folder.mkdir()
        shutil.copy(bench.landed(source), folder)
    early = sensor_tick(bench, SENSOR, None, later - timedelta(minutes=1))
    assert newest not in {day for day, _ in asked(early)}
    day, keys = asked(sensor_tick(bench, SENSOR, None, later))[0]
    tables = ["mapped/baskets", "mapped/household_days", "raw/coupon_redemptions", "raw/transactions"]
    assert (day, keys) == (newest, sorted([*EVERYTHING, *tables]))


def test_a_day_without_files_waits_for_them(bench: Bench) -> None:
    """Nothing is requested for a day whose files have not landed, nor for one whose window has a gap: it says which."""
    later = DUE + timedelta(days=2)
    found = {gap.day: gap for gap in find_gaps(bench.view, bench.platform, bench.use_case, later)}
    newest, gap = DAY + timedelta(days=2), DAY + timedelta(days=1)
    assert {found[day].state for day in (newest, gap)} == {"waiting"}
    assert "no file of transactions, coupon_redemptions has landed" in found[newest].why
    for source in ("transactions", "coupon_redemptions"):
        folder = bench.settings.landing / source / f"dt={newest}"
        folder.mkdir()
        shutil.copy(bench.landed(source), folder)
    lacks = find_gaps(bench.view, bench.platform, bench.use_case, later)
    assert f"mapped/household_days lacks {gap}" in lacks[0].why


def test_after_three_attempts_a_day_is_given_up_until_an_input_changes(bench: Bench) -> None:
    """A failed run is followed by one more, with a key of its own; the third is the last, until a table is renewed."""
    keys = set()
    for _ in range(3):
        request = sensor_tick(bench, SENSOR, None, DUE).run_requests[0]
        assert request.partition_key == before(1)
        keys.add(request.run_key)
        entered(bench.instance, JOB, request, dg.DagsterRunStatus.FAILURE)
    assert len(keys) == 3
    after = sensor_tick(bench, SENSOR, None, DUE)
    assert [day for day, _ in asked(after)] == [before(2), before(3)]
    (lost,) = given_up(bench.view, bench.platform, bench.use_case, DUE)
    assert (lost.day, lost.attempts) == (DAY - timedelta(days=1), 3)
    assert "3 runs have failed" in lost.why
    made(bench.instance, dg.AssetKey(["mapped", "baskets"]), before(1))
    assert given_up(bench.view, bench.platform, bench.use_case, DUE) == []
    assert asked(sensor_tick(bench, SENSOR, None, DUE))[0] == (before(1), SCORING)


@pytest.mark.parametrize("renewed", ["mapped/households", f"{NAME}/champion"])
def test_a_day_given_up_is_tried_again_with_a_new_snapshot_or_model(bench: Bench, renewed: str) -> None:
    """What has no days is an input of each of them: made anew, it may be the mend."""
    for _ in range(3):
        request = sensor_tick(bench, SENSOR, None, DUE).run_requests[0]
        entered(bench.instance, JOB, request, dg.DagsterRunStatus.FAILURE)
    assert given_up(bench.view, bench.platform, bench.use_case, DUE)
    made(bench.instance, dg.AssetKey(renewed.split("/")), None)
    assert given_up(bench.view, bench.platform, bench.use_case, DUE) == []
    assert asked(sensor_tick(bench, SENSOR, None, DUE))[0] == (before(1), SCORING)


def test_late_data_is_mapped_and_the_newest_day_scored_again(bench: Bench) -> None:
    """A late file re-maps its day and re-scores the newest day at once, and at night the days that it changed."""
    scored = DAY - timedelta(days=1)
    assert bench.score(scored).success
    late = DAY - timedelta(days=3)
    cursor = sensor_tick(bench, ARRIVALS, None, DUE).cursor
    served = bench.documents()
    file = bench.landed("transactions", late)
    fresh = file.with_name(".fresh.parquet")
    landed = f"read_parquet('{file}', hive_partitioning = false)"
    duckdb.sql(f"COPY (SELECT * FROM {landed} WHERE household_id % 40 <> 0) TO '{fresh}'")
    fresh.replace(file)
    (tables,) = sensor_tick(bench, ARRIVALS, cursor, DUE).run_requests
    assert asked(sensor_tick(bench, SENSOR, None, DUE))[0][0] != str(DAY)
    assert carried_out(bench, tables).success

    night = at("2017-06-02T02:00")
    rescoring = schedule_tick(bench.defs, bench.instance, f"{NAME}_rescoring_schedule", night).run_requests
    assert [(r.partition_key, len(r.asset_selection)) for r in rescoring] == [(str(scored), 3)]

    request = sensor_tick(bench, SENSOR, None, DUE).run_requests[0]
    assert (request.partition_key, len(request.asset_selection)) == (str(DAY), len(EVERYTHING))
    assert carried_out(bench, request).success
    assert bench.documents() != served
    assert str(DAY) not in {day for day, _ in asked(sensor_tick(bench, SENSOR, None, DUE))}
    assert carried_out(bench, rescoring[0]).success
    again = schedule_tick(bench.defs, bench.instance, f"{NAME}_rescoring_schedule", night)
    assert (again.run_requests, again.skip_message) == ([], "No late data has changed the 14 days before 2017-05-31.")


def test_what_nobody_published_is_published_once_it_rests(bench: Bench) -> None:
    """Predictions that were added without a publication are published ten minutes after the last of them."""
    made(bench.instance, bench.asset("historic"), before(1))
    soon = datetime.now(UTC) + timedelta(minutes=9)
    (gap,) = (gap for gap in find_gaps(bench.view, bench.platform, bench.use_case, soon) if gap.day is None)
    assert gap.state == "waiting"
    (gap,) = (
        gap
        for gap in find_gaps(bench.view, bench.platform, bench.use_case, soon + timedelta(minutes=2))
        if gap.day is None
    )
    assert (gap.state, gap.fixes) == ("due", f"{NAME}/publication")
    for key in gap.keys:
        made(bench.instance, key, None)
    later = find_gaps(bench.view, bench.platform, bench.use_case, soon + timedelta(hours=1))
    assert [each for each in later if each.day is None] == []


def test_a_backfill_at_work_is_left_alone(bench: Bench) -> None:
    """While a command's backfill works on the use case, nothing is caught up."""
    ordered = order(bench.view, bench.use_case, DayRange(DAY, DAY), only_tables=False)
    record(bench.view, replace(ordered, process=this_process()))
    create_run_for_test(bench.instance, tags={BACKFILL_TAG: ordered.id}, status=dg.DagsterRunStatus.SUCCESS)
    tick = sensor_tick(bench, SENSOR, None, DUE)
    assert (asked(tick), tick.skip_message) == ([], f"Backfill {ordered.id} is at work.")


@pytest.mark.parametrize("now", ["2017-03-12T07:30", "2017-11-05T07:30"])
def test_days_are_due_by_the_local_clock(bench: Bench, now: str) -> None:
    """On the days on which clocks change, the newest due day is the one before, from the deadline on."""
    instant = at(now)
    assert newest_due(bench.use_case, instant) == instant.date() - timedelta(days=1)
    assert newest_due(bench.use_case, instant - timedelta(hours=1)) == instant.date() - timedelta(days=2)
