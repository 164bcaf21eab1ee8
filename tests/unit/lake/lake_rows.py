"""Rows for the lake's tests: a table of days and numbers, as a stream to write and as a dict to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving_assets.lake import Lake, LakeTable

SCHEMA = pa.schema([("day", pa.date32()), ("value", pa.int64())])
DAYS = tuple(date(2017, 1, 1) + timedelta(days=offset) for offset in range(5))


def table_in(folder: Path) -> LakeTable:
    """The table that the tests write, in a lake below `folder`."""
    return Lake(str(folder / "lake")).table("raw/sales")


def stream(
    values: Mapping[date | None, Iterable[int]], *, meanwhile: Callable[[], object] = lambda: None
) -> pa.RecordBatchReader:
    """One batch per day; `meanwhile` runs after the last row was handed over, before the writer can commit."""

    def batches() -> Iterator[pa.RecordBatch]:
        for day, numbers in values.items():
            rows = [{"day": day, "value": number} for number in numbers]
            yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
        meanwhile()

    return pa.RecordBatchReader.from_batches(SCHEMA, batches())


def reader(columns: Mapping[str, pa.Array]) -> pa.RecordBatchReader:
    """These columns as a stream."""
    return pa.table(dict(columns)).to_reader()


def visible(table: LakeTable, version: int | None = None) -> dict[date, list[int]]:
    """What a reader sees: the sorted values of each day that has any."""
    found: dict[date, list[int]] = {}
    for row in contents(table, version):
        found.setdefault(row["day"], []).append(row["value"])
    return {day: sorted(values) for day, values in found.items()}


def contents(table: LakeTable, version: int | None = None) -> list[dict[str, Any]]:
    """Every row, in the order of the files."""
    rows: list[dict[str, Any]] = table.scan(version=version).dataset().to_table().to_pylist()
    return rows


def parquet_files(table: LakeTable) -> set[Path]:
    """Every data file in the table's folder, part of a version or not."""
    return {path for path in Path(table.uri).rglob("*.parquet") if "_delta_log" not in path.parts}
