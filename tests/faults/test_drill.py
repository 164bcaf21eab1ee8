"""The parts of the fault drill: its faults over the slice, its readers, and its clock.

Not here: the drill itself, which takes a live daemon and many minutes (`make drill`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from drill.alerts import inbox
from drill.calendar import FAULTY_DAYS, as_of, clocks_go_back, newest_of_demo
from drill.clock import Clock
from drill.faults import FAULTS
from drill.watcher import NOBODY, Right
from drill.world import World
from serving_assets.demo import DAILY
from serving_assets.local_runner.run_assets import run_assets
from serving_assets.pipeline.observing.alert_sensor import look
from tests.pipeline.conftest import bench
from tests.pipeline.slice import DAY, Bench

__all__ = ["bench"]

LINE = [dg.AssetKey(["raw", "transactions"]), dg.AssetKey(["mapped", "baskets"])]
DELIVERIES = [fault for fault in FAULTS if fault.name in ("column_renamed", "euros_to_cents")]
"""Half of the rows of a quarter of the households may be a day that happens."""
RIGHT = {"1": [{"score": 0.5}, "2027-11-07T04:00:00Z", "1"], "2": [{"score": 0.25}, "2027-11-06T04:00:00Z", "1"]}


@pytest.mark.parametrize("fault", DELIVERIES, ids=lambda fault: fault.name)
def test_a_bad_delivery_is_told_and_mended(fault: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill's own delivery is caught by the detector that it names, told to its webhook, and over once fixed."""
    for source in DAILY:
        right = bench.root / "undisturbed" / "data" / "landing" / source / f"dt={DAY}" / f"{source}.parquet"
        right.parent.mkdir(parents=True)
        shutil.move(bench.landed(source), right)
    drill: Any = SimpleNamespace(world=World(bench.root, Clock(bench.root / "clock"), DAY))
    with inbox() as box:
        box.configure(bench.root / "dagster")
        monkeypatch.setenv("DAGSTER_HOME", str(bench.root / "dagster"))
        looked(bench)
        standing = {notice.subject for notice in box.open(datetime.min.replace(tzinfo=UTC))}
        begun = datetime.now(UTC)
        fault.inject(drill, DAY)
        made = {one.asset for one in run_assets(bench.defs, bench.instance, LINE, DAY).made}
        looked(bench)
        assert {notice.subject for notice in box.open(begun)} - standing == fault.detected_by
        assert fault.blocked not in made
        fault.heal(drill, DAY)
        assert run_assets(bench.defs, bench.instance, LINE, DAY).success
        looked(bench)
        assert {notice.subject for notice in box.open(begun)} <= standing
        assert {notice.event for notice in box.since(begun)} == {"opened", "resolved"}


def looked(bench: Bench) -> None:
    """One look of the alerts."""
    soon = datetime.now(UTC) + timedelta(seconds=10)
    assert look(bench.instance, bench.platform, bench.defs.resolve_asset_graph(), soon)


@pytest.mark.parametrize(
    "change",
    [
        {"1": [{"score": 0.5001}, "2027-11-07T04:00:00Z", "1"]},
        {"1": [{"score": 0.5}, "2027-11-06T04:00:00Z", "1"]},
        {"1": [{"score": 0.5}, "2027-11-07T04:00:00Z", "2"]},
        {"3": [{"score": 0.5}, "2027-11-07T04:00:00Z", "1"]},
        {"2": None},
    ],
    ids=["value", "as-of", "model", "one too many", "one too few"],
)
def test_readers_notice_whatever_is_wrong(change: dict[str, Any]) -> None:
    """A document that differs from the undisturbed run in anything is wrong, in the store and in the API's answers."""
    right, newest = Right({"2027-11-07T04:00:00Z": RIGHT}), "2027-11-07T04:00:00+00:00"
    disturbed = {entity: one for entity, one in {**RIGHT, **change}.items() if one}
    ids = [1, 2, 3, NOBODY]
    assert right.wrong(newest, RIGHT) == right.wrong_answers(newest, ids, answers(ids, RIGHT)) == []
    assert len(right.wrong(newest, disturbed)) == len(right.wrong_answers(newest, ids, answers(ids, disturbed))) == 1
    assert right.wrong("2027-11-09T05:00:00Z", RIGHT)
    assert right.wrong_answers(newest, [2, 1], answers([1, 2], RIGHT))


def answers(ids: list[int], documents: dict[str, Any]) -> list[dict[str, Any]]:
    """As the API gives them."""
    return [
        {"status": "found", "entity_id": i, "prediction": one[0], "as_of": one[1], "model_version": one[2]}
        if (one := documents.get(str(i)))
        else {"status": "not_found", "entity_id": i}
        for i in ids
    ]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_process_lives_by_the_clock_of_the_drill(tmp_path: Path) -> None:
    """Its time of day leaps while it runs, also for SQLite; how long it sleeps is the machine's affair."""
    clock = Clock(tmp_path / "clock")
    clock.build()
    clock.set(datetime(2030, 1, 1, tzinfo=UTC), time.time())
    script = """import datetime, sqlite3, time
for _ in range(2):
    (told,) = sqlite3.connect(':memory:').execute("SELECT strftime('%Y')").fetchone()
    print(datetime.datetime.now().year, told, flush=True)
    input()
began = time.monotonic(); time.sleep(0.1)
print(time.monotonic() - began < 60)"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=clock.environment, stdin=-1, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "2030 2030\n"
    clock.leap(timedelta(days=366).total_seconds())
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "2031 2031\n"
    assert process.communicate("\n", timeout=60)[0] == "True\n"


@pytest.mark.parametrize("today", [date(2026, 1, 1), date(2026, 10, 31), date(2026, 11, 25), date(2031, 12, 31)])
def test_the_drill_ends_on_a_day_of_25_hours(today: date) -> None:
    """It is in the future, whenever one asks, and the demo leaves a day for each other fault."""
    change = clocks_go_back(today)
    assert as_of(change).astimezone(UTC) - as_of(change - timedelta(days=1)).astimezone(UTC) == timedelta(hours=25)
    assert newest_of_demo(change) > today
    assert change - newest_of_demo(change) == timedelta(days=FAULTY_DAYS + 2)
    assert len(FAULTS) == FAULTY_DAYS + 1
