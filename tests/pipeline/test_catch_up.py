"""Catching up: missing and failed days, late data, publications; what is given up, and when not any more.

Not here: which tables a delivery makes (test_arrivals.py).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from serving_assets.lake import DayRange
from serving_assets.pipeline.automation.backfill_record import order, record
from serving_assets.pipeline.automation.calendar import newest_due
from serving_assets.pipeline.automation.gaps import Gap, find_gaps, given_up
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG
from tests.pipeline.automated import DAY, NAME, TABLES, Automated, asked
from tests.pipeline.slice import NAME as SLICE
from tests.pipeline.slice import Bench
from tests.pipeline.ticks import at, carried_out, schedule_tick, sensor_tick

Status = dg.DagsterRunStatus
DUE = at("2017-06-01T07:00", "Europe/Berlin")
"""The deadline of DAY: until then its daily run may still come."""
SCORING = ["features", "historic", "predictions"]
EVERYTHING = ["features", "historic", "latest", "online", "predictions"]


@pytest.fixture
def shop(tmp_path: Path) -> Automated:
    """Tables of all days, predictions of the newest."""
    return Automated(tmp_path)


def before(days: int) -> str:
    """The day so many days before the newest."""
    return str(DAY - timedelta(days=days))


def test_missing_days_are_requested_newest_first_and_a_few_at_a_time(shop: Automated) -> None:
    """Of the newest seven days, six have no predictions: two are requested, without publishing; then two more."""
    first, _ = shop.catch_up(DUE)
    assert asked(first) == [(before(1), SCORING), (before(2), SCORING)]
    runs = [shop.launch(request, Status.STARTED) for request in first]
    second, report = shop.catch_up(DUE)
    assert second == []
    assert f"{before(1)} has no predictions: a run is making it" in report
    shop.view.materialize(f"{NAME}/historic", before(1), before(2))
    for run in runs:
        shop.view.end(run, Status.CANCELED)
    assert [day for day, _ in asked(shop.catch_up(DUE)[0])] == [before(3), before(4)]


def test_the_newest_day_is_missing_from_its_deadline_on(shop: Automated) -> None:
    """A day that the daily run should have made is requested with all its stages, but not before its deadline."""
    later, newest = DUE + timedelta(days=1), DAY + timedelta(days=1)
    shop.deliver(newest)
    early, _ = shop.catch_up(later - timedelta(minutes=1))
    assert str(newest) not in {day for day, _ in asked(early)}
    assert asked(shop.catch_up(later)[0])[0] == (str(newest), sorted([*EVERYTHING, *TABLES]))


def test_a_day_without_files_waits_for_them(shop: Automated) -> None:
    """Nothing is requested for a day whose files have not landed, nor for one whose window has a gap: it says which."""
    later, newest, between = DUE + timedelta(days=2), DAY + timedelta(days=2), DAY + timedelta(days=1)
    found = {gap.day: gap for gap in find_gaps(shop.view, shop.platform, shop.use_case, later)}
    assert {found[day].state for day in (newest, between)} == {"waiting"}
    assert "no file of sales has landed" in found[newest].why
    shop.deliver(newest)
    gaps = find_gaps(shop.view, shop.platform, shop.use_case, later)
    assert f"mapped/person_days lacks {between}" in gaps[0].why


def test_after_three_attempts_a_day_is_given_up_until_an_input_changes(shop: Automated) -> None:
    """A failed run is followed by one more, with a key of its own; the third is the last, until a table is renewed."""
    keys = set()
    for _ in range(3):
        request = shop.catch_up(DUE)[0][0]
        assert request.partition_key == before(1)
        keys.add(request.run_key)
        shop.launch(request, Status.FAILURE)
    assert len(keys) == 3
    assert [day for day, _ in asked(shop.catch_up(DUE)[0])] == [before(2), before(3)]
    (lost,) = given_up(shop.view, shop.platform, shop.use_case, DUE)
    assert (lost.day, lost.attempts) == (DAY - timedelta(days=1), 3)
    assert "3 runs have failed" in lost.why
    shop.view.materialize("mapped/person_days", before(1))
    assert given_up(shop.view, shop.platform, shop.use_case, DUE) == []
    assert (before(1), SCORING) in asked(shop.catch_up(DUE)[0])


@pytest.mark.parametrize("renewed", ["mapped/towns", f"{NAME}/champion"])
def test_a_day_given_up_is_tried_again_with_a_new_snapshot_or_model(shop: Automated, renewed: str) -> None:
    """What has no days is an input of each of them: made anew, it may be the fix."""
    for _ in range(3):
        shop.launch(shop.catch_up(DUE)[0][0], Status.FAILURE)
    assert given_up(shop.view, shop.platform, shop.use_case, DUE)
    shop.view.materialize(renewed)
    assert given_up(shop.view, shop.platform, shop.use_case, DUE) == []
    assert asked(shop.catch_up(DUE)[0])[0] == (before(1), SCORING)


def test_late_data_is_mapped_and_the_newest_day_scored_again(bench: Bench) -> None:
    """A late file re-maps its day and re-scores the newest day at once, and at night the days that it changed."""
    due, scored = at("2017-06-01T07:00"), DAY - timedelta(days=1)

    def catch_up() -> list[dg.RunRequest]:
        return list(sensor_tick(bench, f"{SLICE}_catch_up", None, due).run_requests or ())

    assert bench.score(scored).success
    late = DAY - timedelta(days=3)
    cursor = sensor_tick(bench, "complete_journey_arrivals", None, due).cursor
    served = bench.documents()
    file = bench.landed("transactions", late)
    fresh = file.with_name(".fresh.parquet")
    landed = f"read_parquet('{file}', hive_partitioning = false)"
    duckdb.sql(f"COPY (SELECT * FROM {landed} WHERE household_id % 40 <> 0) TO '{fresh}'")
    fresh.replace(file)
    (tables,) = sensor_tick(bench, "complete_journey_arrivals", cursor, due).run_requests
    assert catch_up()[0].partition_key != str(DAY)
    assert carried_out(bench, tables).success

    night = at("2017-06-02T02:00")
    rescoring = schedule_tick(bench.defs, bench.instance, f"{SLICE}_rescoring_schedule", night).run_requests
    assert [(r.partition_key, len(r.asset_selection)) for r in rescoring] == [(str(scored), 3)]

    request = catch_up()[0]
    assert (request.partition_key, len(request.asset_selection)) == (str(DAY), len(EVERYTHING) + 1)
    assert carried_out(bench, request).success
    assert bench.documents() != served
    assert str(DAY) not in {request.partition_key for request in catch_up()}
    assert carried_out(bench, rescoring[0]).success
    again = schedule_tick(bench.defs, bench.instance, f"{SLICE}_rescoring_schedule", night)
    assert (again.run_requests, again.skip_message) == ([], "No late data has changed the 14 days before 2017-05-31.")


def publication(shop: Automated, after: timedelta) -> list[Gap]:
    """The missing publication, if there is one, so long after the newest entry."""
    found = find_gaps(shop.view, shop.platform, shop.use_case, shop.view.now + after)
    return [gap for gap in found if gap.day is None]


def test_what_nobody_published_is_published_once_it_rests(shop: Automated) -> None:
    """Predictions that were added without a publication are published ten minutes after the last of them."""
    shop.view.materialize(f"{NAME}/historic", before(1))
    (gap,) = publication(shop, timedelta(minutes=9))
    assert gap.state == "waiting"
    (gap,) = publication(shop, timedelta(minutes=11))
    assert (gap.state, gap.fixes) == ("due", f"{NAME}/publication")
    for key in gap.keys:
        shop.view.materialize(key)
    assert publication(shop, timedelta(hours=1)) == []


def test_a_backfill_at_work_is_left_alone(shop: Automated) -> None:
    """While a command's backfill works on the use case, nothing is caught up."""
    ordered = order(shop.view, shop.use_case, DayRange(DAY, DAY), only_tables=False)
    record(shop.view, replace(ordered, process=this_process()))
    shop.view.run(Status.SUCCESS, {BACKFILL_TAG: ordered.id})
    assert shop.catch_up(DUE) == ([], f"Backfill {ordered.id} is running.")


@pytest.mark.parametrize("now", ["2017-03-26T07:30", "2017-10-29T07:30"])
def test_days_are_due_by_the_local_clock(shop: Automated, now: str) -> None:
    """On the days on which clocks change, the newest due day is the one before, from the deadline on."""
    instant = at(now, "Europe/Berlin")
    assert newest_due(shop.use_case, instant) == instant.date() - timedelta(days=1)
    assert newest_due(shop.use_case, instant - timedelta(hours=1)) == instant.date() - timedelta(days=2)
