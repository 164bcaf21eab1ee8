"""Rules of the lake when processes die or compete: old or new, never between; nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from serving_assets.failpoints import VARIABLE
from serving_assets.lake import LakeTable
from tests.faults.lake_child import BATCH_ROWS, FIRST, SCHEMA, table_at, write

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
ALL_ROWS = 3 * BATCH_ROWS


def start(*arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
    """A process of its own for one task."""
    command = [sys.executable, "-m", "tests.faults.lake_child", *arguments]
    environment = {**os.environ, VARIABLE: failpoint}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def values(table: LakeTable) -> dict[int, int]:
    """How many rows there are of each value."""
    return dict(Counter(table.scan().dataset().to_table()["value"].to_pylist()))


def row(day: date, value: int) -> pa.RecordBatchReader:
    """One row."""
    return pa.table({"day": [day], "value": [value]}, schema=SCHEMA).to_reader()


def files_on_disk(table: LakeTable) -> set[str]:
    """Every data file in the table's folder."""
    return {str(path) for path in Path(table.uri).rglob("*.parquet") if "_delta_log" not in path.parts}


def files_in_log(table: LakeTable) -> set[str]:
    """The data files of the newest version."""
    return {file.uri for file in table.scan().files()}


@pytest.mark.parametrize("existed", [False, True], ids=["new table", "old table"])
@pytest.mark.parametrize(
    ("failpoint", "committed", "left_behind"),
    [
        ("lake.write.before", False, False),
        ("lake.write.mid_stream", False, False),
        ("lake.write.mid_stream:3", False, True),
        ("lake.write.after_commit", True, False),
    ],
)
def test_a_killed_write_is_old_or_new_and_repaired_by_the_next(
    tmp_path: Path, failpoint: str, committed: bool, left_behind: bool, existed: bool
) -> None:
    """Killed anywhere, a write leaves the table as it was or as it should be, and running it again makes it right."""
    table = table_at(str(tmp_path))
    if existed:
        write(table, "1")
    process = start("write", str(tmp_path), "2", failpoint=failpoint)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert table.exists() == (existed or committed)
    if table.exists():
        assert values(table) == {2 if committed else 1: ALL_ROWS}
    process = start("write", str(tmp_path), "2")
    process.communicate()
    assert process.returncode == 0
    assert values(table) == {2: ALL_ROWS}
    assert table.version() == existed + committed
    orphans = files_on_disk(table) - files_in_log(table)
    assert bool(orphans) == (left_behind or existed or committed)
    DeltaTable(table.uri).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
    assert files_on_disk(table) == files_in_log(table)
    assert values(table) == {2: ALL_ROWS}


def test_a_writer_killed_at_any_moment_never_shows_a_half_written_week(tmp_path: Path) -> None:
    """Kills that hit wherever they hit leave a whole replacement, never an older one than before."""
    table = table_at(str(tmp_path))
    begun, seen = [0], 0
    for attempt in range(6):
        process = start("write_forever", str(tmp_path), str(begun[-1]))
        assert process.stdout is not None
        begun += [int(process.stdout.readline()) for _ in range(1 + attempt % 3)]
        time.sleep(0.01 * attempt)
        process.kill()
        begun += [int(line) for line in process.communicate()[0].splitlines()]
        if table.exists():
            ((value, found),) = values(table).items()
            assert found == 3 * 700
            assert seen <= value <= begun[-1]
            seen = value
    assert seen > 0


def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    """Processes that read, add one and write back pinned to what they read add up exactly."""
    processes = [start("count", str(tmp_path), "8") for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert values(table_at(str(tmp_path))) == {24: 1}


def test_processes_fill_different_days_of_a_new_table_at_once(tmp_path: Path) -> None:
    """A backfill by several processes, the first of which creates the table, ends with every day, each once."""
    begins = [FIRST + timedelta(days=8 * worker) for worker in range(3)]
    processes = [start("fill", str(tmp_path), begin.isoformat(), "8") for begin in begins]
    assert [process.wait() for process in processes] == [0, 0, 0]
    table = table_at(str(tmp_path))
    days: list[date] = table.scan().dataset().to_table()["day"].to_pylist()
    assert sorted(days) == [FIRST + timedelta(days=offset) for offset in range(24)]
    assert table.version() == 23


@pytest.mark.parametrize("days", [1, 60])
def test_the_memory_of_a_write_does_not_grow_with_its_rows(tmp_path: Path, days: int) -> None:
    """Five times the rows take at most 120 MB more, whether they belong to one partition or to many."""
    peaks = []
    for batches in (16, 80):
        process = start("peak", str(tmp_path / str(batches)), str(batches), str(days))
        peaks.append(int(process.communicate()[0]))
    assert peaks[1] - peaks[0] < 120_000_000


def test_the_log_is_summarised_as_it_grows(tmp_path: Path) -> None:
    """Every 25th commit adds a checkpoint, and every version before and after one stays readable."""
    table = table_at(str(tmp_path))
    for offset in range(53):
        day = FIRST + timedelta(days=offset)
        table.replace(row(day, offset), where={"day": day}, partition_by=("day",), metadata={"n": str(offset)})
    checkpoints = sorted(path.name for path in (Path(table.uri) / "_delta_log").glob("*.checkpoint.parquet"))
    assert checkpoints == [f"{version:020d}.checkpoint.parquet" for version in (24, 49)]
    for version in (0, 23, 24, 25, 49, 52):
        assert table.scan(version=version).rows() == version + 1
        assert table.commit_metadata(version) == {"n": str(version)}
    assert len(table.history()) == 53
