"""What the lake's fault tests run in processes of their own: `python -m tests.faults.lake_child <task> <lake> ...`."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pyarrow as pa

from serving_assets.errors import ConflictError
from serving_assets.lake import NO_TABLE, DayRange, Lake, LakeTable

SCHEMA = pa.schema([("day", pa.date32()), ("value", pa.int64())])
FIRST = date(2017, 1, 1)
WEEK = DayRange(FIRST, FIRST + timedelta(days=6))
BATCH_ROWS = 140_000
"""More than one row group, so that a batch of one day reaches the disk before the next one is pulled."""


def table_at(lake: str) -> LakeTable:
    """The table that every task works on."""
    return Lake(lake).table("raw/sales")


def rows(value: int, *, batches: int = 3, size: int = BATCH_ROWS, days: int = 7) -> pa.RecordBatchReader:
    """`batches * size` rows over the week, every one with this value."""

    def stream() -> Iterator[pa.RecordBatch]:
        day = pa.array([FIRST + timedelta(days=row % days) for row in range(size)], pa.date32())
        for _ in range(batches):
            yield pa.record_batch([day, pa.repeat(pa.scalar(value), size)], schema=SCHEMA)

    return pa.RecordBatchReader.from_batches(SCHEMA, stream())


def write(table: LakeTable, value: str) -> None:
    """Replace the week by rows of one value."""
    table.replace(rows(int(value), days=1), where={"day": WEEK}, partition_by=("day",))


def write_forever(table: LakeTable, value: str | int) -> None:
    """Replace the week again and again, each time by the next value; says so before it begins."""
    value = int(value)
    while True:
        value += 1
        print(value, flush=True)  # noqa: T201 - read by the test
        table.replace(rows(value, size=700), where={"day": WEEK}, partition_by=("day",))


def count(table: LakeTable, times: str) -> None:
    """Add one to the only row, `times` times, each time pinned to the version that was read."""
    done = 0
    while done < int(times):
        version = table.version()
        before = 0 if version is None else table.scan(version=version).dataset().to_table()["value"][0].as_py()
        after = rows(before + 1, batches=1, size=1)
        try:
            table.replace(after, expected_version=NO_TABLE if version is None else version, partition_by=("day",))
        except ConflictError:
            continue
        done += 1


def fill(table: LakeTable, first: str, days: str) -> None:
    """Write one row into each of `days` days from `first` on, one commit a day, creating the table if needed."""
    for offset in range(int(days)):
        day = date.fromisoformat(first) + timedelta(days=offset)
        row = pa.table({"day": [day], "value": [offset]}, schema=SCHEMA)
        table.replace(row.to_reader(), where={"day": day}, partition_by=("day",))


def peak(table: LakeTable, batches: str, days: str) -> None:
    """Write batches over some days and say the most memory this process ever held, in bytes."""
    table.replace(rows(1, batches=int(batches), size=65_536, days=int(days)), partition_by=("day",))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # noqa: T201 - read by the test


if __name__ == "__main__":
    TASKS: dict[str, Callable[..., None]] = {task.__name__: task for task in (write, write_forever, count, fill, peak)}
    TASKS[sys.argv[1]](table_at(sys.argv[2]), *sys.argv[3:])
