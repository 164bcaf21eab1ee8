"""The arrivals of a landing zone by real ticks over real files: what they request, and that they do so once.

Not here: scoring again what late data changed (test_catch_up.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import freeze_time

from serving_assets.lake import DayRange
from serving_assets.pipeline.automation.arrivals_sensor import Memory, evaluate
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings
from tests.pipeline.daemons import run_sensor
from tests.pipeline.slice import DAY, DAYS, Bench, small_catalog
from tests.pipeline.ticks import at, carried_out, entered, made, sensor_tick

SENSOR, JOB = "complete_journey_arrivals", "complete_journey_tables"
NOW = at("2017-06-02T06:00")
NEXT = DAY + timedelta(days=1)
"""The day after the newest of the slice: it has ended at NOW."""


def asked(tick: dg.SensorExecutionData) -> list[tuple[str, list[str]]]:
    """Days and assets of what a tick requests."""
    return [
        (str(days_of(request.tags)), sorted(key.to_user_string() for key in request.asset_selection or ()))
        for request in tick.run_requests or ()
    ]


@pytest.fixture
def known(bench: Bench) -> tuple[Bench, str]:
    """A workspace in which everything that has landed is known, and the sensor's cursor."""
    first = sensor_tick(bench, SENSOR, None, NOW)
    assert first.run_requests == []
    return bench, first.cursor


def test_what_others_have_made_is_known_at_first_sight(known: tuple[Bench, str]) -> None:
    """A sensor that begins over a finished workspace requests nothing, and remembers every folder."""
    bench, cursor = known
    seen = Memory.read(cursor).seen
    assert set(seen["transactions"]) == {str(day) for day in DAYS.days()}
    again = sensor_tick(bench, SENSOR, cursor, NOW)
    assert (again.run_requests, again.skip_message) == ([], "Nothing new has landed.")


def test_a_new_day_is_made_table_by_table_as_its_files_come(known: tuple[Bench, str]) -> None:
    """Each file requests its source and the tables that are complete with it; further ticks request nothing."""
    bench, cursor = known
    land(bench, "transactions", NEXT)
    first = sensor_tick(bench, SENSOR, cursor, NOW)
    assert asked(first) == [(f"{NEXT}..{NEXT}", ["mapped/baskets", "raw/transactions"])]
    assert first.run_requests[0].partition_key == str(NEXT)
    cursor = first.cursor
    for _ in range(10):
        again = sensor_tick(bench, SENSOR, cursor, NOW)
        assert again.run_requests == []
        cursor = again.cursor
    for key in first.run_requests[0].asset_selection:
        made(bench.instance, key, str(NEXT))
    land(bench, "coupon_redemptions", NEXT)
    second = sensor_tick(bench, SENSOR, cursor, NOW)
    assert asked(second) == [(f"{NEXT}..{NEXT}", ["mapped/household_days", "raw/coupon_redemptions"])]


def test_a_tick_that_is_repeated_asks_for_the_same_run(known: tuple[Bench, str]) -> None:
    """A daemon that dies before keeping the cursor repeats the tick: its run key is the same, so nothing runs twice."""
    bench, cursor = known
    land(bench, "transactions", NEXT)
    keys = [[request.run_key for request in sensor_tick(bench, SENSOR, cursor, NOW).run_requests] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 1


def test_an_unchanged_re_delivery_is_no_change(known: tuple[Bench, str]) -> None:
    """The same bytes written anew, or under another name, request nothing; one byte more requests the day."""
    bench, cursor = known
    file = bench.landed("transactions", DAY)
    os.utime(file, (file.stat().st_mtime + 3600,) * 2)
    touched = sensor_tick(bench, SENSOR, cursor, NOW)
    renamed = file.rename(file.with_name("again.parquet"))
    moved = sensor_tick(bench, SENSOR, touched.cursor, NOW)
    assert (asked(touched), asked(moved)) == ([], [])
    shutil.copy(bench.landed("transactions", DAY - timedelta(days=1)), renamed)
    changed = sensor_tick(bench, SENSOR, moved.cursor, NOW)
    assert asked(changed) == [(f"{DAY}..{DAY}", ["mapped/baskets", "mapped/household_days", "raw/transactions"])]
    assert asked(sensor_tick(bench, SENSOR, changed.cursor, NOW)) == []


def test_unfinished_files_and_days_are_left_alone(known: tuple[Bench, str]) -> None:
    """Names that are still being written, other formats, and a day that has not ended request nothing yet."""
    bench, cursor = known
    for name in (".part.parquet", "_part.parquet", "notes.txt"):
        shutil.copy(bench.landed("transactions", DAY - timedelta(days=1)), folder(bench, "transactions", NEXT) / name)
    land(bench, "coupon_redemptions", NOW.date())
    tick = sensor_tick(bench, SENSOR, cursor, NOW)
    assert asked(tick) == []
    assert (
        asked(sensor_tick(bench, SENSOR, tick.cursor, NOW + timedelta(days=1)))[0][0] == f"{NOW.date()}..{NOW.date()}"
    )


def test_a_day_that_is_being_made_waits(known: tuple[Bench, str]) -> None:
    """While a run makes the day, a change of its files waits; it is not forgotten."""
    bench, cursor = known
    land(bench, "transactions", NEXT)
    first = sensor_tick(bench, SENSOR, cursor, NOW)
    run = entered(bench.instance, JOB, first.run_requests[0], dg.DagsterRunStatus.STARTED)
    shutil.copy(bench.landed("transactions", DAY - timedelta(days=2)), bench.landed("transactions", NEXT))
    waiting = sensor_tick(bench, SENSOR, first.cursor, NOW)
    assert (asked(waiting), waiting.skip_message) == ([], f"{NEXT} is being made")
    bench.instance.report_run_canceled(run)
    assert len(asked(sensor_tick(bench, SENSOR, waiting.cursor, NOW))) == 1


def test_a_new_snapshot_is_made_without_the_days(known: tuple[Bench, str]) -> None:
    """A changed snapshot requests itself and what is made of snapshots alone."""
    bench, cursor = known
    (file,) = (bench.settings.landing / "demographics").iterdir()
    rows(file, f"SELECT * FROM '{file}' WHERE household_id % 8 = 0")
    tick = sensor_tick(bench, SENSOR, cursor, NOW)
    assert asked(tick) == [("None", ["mapped/households", "raw/demographics"])]
    assert carried_out(bench, tick.run_requests[0]).success
    assert asked(sensor_tick(bench, SENSOR, tick.cursor, NOW)) == []


def test_the_landing_zone_may_be_an_object_store(known: tuple[Bench, str]) -> None:
    """Through the object store's interface the same folders are seen, and a new one requests the same."""
    bench, _ = known
    land(bench, "transactions", NEXT)
    for source in ("coupons", "promotions"):
        (bench.settings.landing / source).mkdir()  # an object store has no folders that could be missing
    settings = bench.settings.model_copy(update={"landing_uri": bench.settings.landing.as_uri()})
    with freeze_time(NOW):
        plan = evaluate(bench.view, Platform(settings, bench.catalog), "complete_journey", Memory())
    assert [str(days_of(request.tags) or request.partition_key) for request in plan.requests] == [str(NEXT)]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[Platform, dg.DagsterInstance]]:
    """A workspace in which snapshots were made once, and nothing has landed."""
    settings = Settings(data_dir=tmp_path, first_day=date(2015, 1, 1))
    with dg.DagsterInstance.ephemeral() as instance:
        for name in ("products", "demographics", "campaigns", "campaign_descriptions", "coupons", "promotions"):
            made(instance, dg.AssetKey(["raw", name]), None)
        yield Platform(settings, small_catalog()), instance


@pytest.mark.parametrize(("count", "seconds"), [(400, 60.0), (40, 0.0)], ids=["in one tick", "one folder a tick"])
def test_years_at_once_are_few_runs_however_short_the_ticks(
    empty: tuple[Platform, dg.DagsterInstance], count: int, seconds: float
) -> None:
    """New days are requested in runs of at most 100 days, each day once, also when every tick runs out of time."""
    (platform, instance), memory = empty, Memory()
    for back in range(count):
        place = platform.settings.landing / "transactions" / f"dt={DAY - timedelta(days=back)}"
        place.mkdir(parents=True)
        (place / "lines.parquet").write_bytes(b"unread")
    found: list[DayRange] = []
    with freeze_time(NOW):
        for _ in range(3 if seconds else count + 20):
            memory = Memory.read(memory.write())
            plan = evaluate(DagsterView(instance), platform, "complete_journey", memory, seconds)
            found += [r for request in plan.requests if (r := requested(request))]
    days = [day for piece in found for day in piece.days()]
    assert sorted(days) == [DAY - timedelta(days=back) for back in reversed(range(count))]
    assert max(map(len, found)) <= 100
    if seconds:
        assert [len(piece) for piece in found] == [100, 100, 100, 100]
        assert found[0].last == DAY


def requested(request: dg.RunRequest) -> DayRange | None:
    """The days of a request that is not resolved yet."""
    if request.partition_key:
        day = date.fromisoformat(request.partition_key)
        return DayRange(day, day)
    return days_of(request.tags)


def test_the_daemon_runs_what_arrives(bench: Bench) -> None:
    """Two days that came while nobody looked become tables in one run, by the sensor's own daemon."""
    late = [DAY - timedelta(days=1), DAY]

    def deliver() -> None:
        for day in late:
            file = bench.landed("transactions", day)
            rows(file, f"SELECT * FROM read_parquet('{file}', hive_partitioning = false) WHERE household_id % 40 <> 0")

    runs = run_sensor(bench, SENSOR, NOW, deliver)
    assert [(str(days_of(run.tags)), run.status) for run in runs] == [
        (f"{late[0]}..{late[1]}", dg.DagsterRunStatus.SUCCESS)
    ]
    households = bench.table_rows("mapped/household_days", "household_id", f"day >= DATE '{late[0]}'")
    assert households
    assert [row for row in households if int(str(row["household_id"])) % 40 == 0] == []


def folder(bench: Bench, source: str, day: date) -> Path:
    """Where a day of a source lands."""
    found = bench.settings.landing / source / f"dt={day}"
    found.mkdir(exist_ok=True)
    return found


def land(bench: Bench, source: str, day: date) -> None:
    """A file for a day, made of another day's."""
    shutil.copyfile(bench.landed(source, DAY - timedelta(days=1)), folder(bench, source, day) / "new.parquet")


def rows(file: Path, query: str) -> None:
    """Put the rows of a query in place of a file."""
    fresh = file.with_name(".fresh.parquet")
    duckdb.sql(f"COPY ({query}) TO '{fresh}'")
    fresh.replace(file)
