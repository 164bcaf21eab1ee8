"""Rows into Parquet files, one folder per partition, with memory bounded by a setting.

Here: splitting, buffering and writing. Not here: the commit that makes the files part of a table (`commit`).

deltalake's own writer is not used for this: its memory grows with the table (measured with 1.6.6: 1.6 GB for twenty
million rows of fifteen columns in one partition, 2.1 GB for five million rows over a hundred), this one's does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from serving_assets.errors import InputError
from serving_assets.lake.selection import PartitionValue, Where, describe, matches
from serving_assets.lake.storage import Storage

ROW_GROUP_ROWS = 131_072
ROW_GROUP_BYTES = 32 << 20
DICTIONARY_BYTES = 256 << 10
"""A column with more distinct values than fit here is written plain: giving up late costs measured numbers 3 times the
seconds and saves no space."""
PENDING_BYTES = 96 << 20
"""All rows that wait for a row group together; beyond it every partition is flushed, however small its row group."""
OPEN_FILES = 256

Key = tuple[PartitionValue | None, ...]


@dataclass
class _Partition:
    key: Key
    pending: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    file: _File | None = None


@dataclass
class _File:
    path: str
    sink: pa.NativeFile
    parquet: pq.ParquetWriter
    metadata: list[pq.FileMetaData]


class PartitionedWriter:
    """Writes record batches below a table's folder; used as a context: left by an error, it removes what it wrote."""

    def __init__(
        self, storage: Storage, *, table: str, schema: pa.Schema, partition_by: tuple[str, ...], where: Where
    ) -> None:
        self._storage, self._table, self._where = storage, table, where
        self._partition_by = partition_by
        self._file_schema = pa.schema([column for column in schema if column.name not in partition_by])
        self._partitions: dict[Key, _Partition] = {}
        self._paths: list[str] = []
        self._pending_bytes = 0
        self._open = 0
        self.rows = 0
        self.adds: list[AddAction] = []

    def __enter__(self) -> PartitionedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.discard()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch; some of them may stay in memory until `finish`.

        Raises:
            InputError: for rows outside of `where`, or without a value in a partition column.
        """
        for key, rows in _split(batch, self._partition_by):
            self._check(key, rows.num_rows)
            partition = self._partitions.setdefault(key, _Partition(key))
            part = rows.select(self._file_schema.names)
            partition.pending.append(part)
            partition.rows += part.num_rows
            partition.bytes += part.nbytes
            self._pending_bytes += part.nbytes
            self.rows += part.num_rows
            if partition.rows >= ROW_GROUP_ROWS or partition.bytes >= ROW_GROUP_BYTES:
                self._flush(partition)
        if self._pending_bytes >= PENDING_BYTES:
            # Slices of one batch keep the whole batch alive, so only flushing all of them gives memory back.
            for partition in self._partitions.values():
                self._flush(partition)

    def finish(self) -> None:
        """Write what is pending and close every file; `adds` is then complete."""
        for partition in self._partitions.values():
            self._flush(partition)
            self._close(partition)

    def discard(self) -> None:
        """Remove every file written; only for files that no version names."""
        for partition in self._partitions.values():
            if partition.file is not None:
                with suppress(OSError):
                    partition.file.parquet.close()
                with suppress(OSError):  # an open file keeps its space on a full disk, also when it is removed
                    partition.file.sink.close()
        for path in self._paths:
            with suppress(OSError):  # what stays is part of no version, and must not hide the error that led here
                self._storage.remove(path)

    def _check(self, key: Key, rows: int) -> None:
        partition = dict(zip(self._partition_by, key, strict=True))
        empty = [column for column, value in partition.items() if value is None or value == ""]
        if empty:
            raise InputError(
                f"{self._table}: {rows} rows have no value in the partition column {empty[0]!r}.",
                hint="Fill it, or drop these rows, in the SQL that makes them.",
            )
        if not matches(self._where, partition):
            found = describe({column: value for column, value in partition.items() if value is not None})
            raise InputError(
                f"{self._table}: {rows} rows belong to {found}, but only {describe(self._where)} is being replaced. "
                "Nothing was written.",
                hint="Filter the rows, or replace the partitions they belong to.",
            )

    def _flush(self, partition: _Partition) -> None:
        if not partition.pending:
            return
        if partition.file is None:
            partition.file = self._begin(partition.key)
        rows = pa.Table.from_batches(partition.pending, schema=self._file_schema)
        partition.file.parquet.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self._pending_bytes -= partition.bytes
        partition.pending, partition.rows, partition.bytes = [], 0, 0

    def _begin(self, key: Key) -> _File:
        if self._open >= OPEN_FILES:
            for partition in self._partitions.values():
                self._close(partition)
        values = zip(self._partition_by, key, strict=True)
        folders = "".join(f"{column}={quote(str(value), safe='')}/" for column, value in values)
        path = f"{folders}part-{uuid4()}.parquet"
        self._paths.append(path)
        sink = self._storage.create(path)
        metadata: list[pq.FileMetaData] = []
        parquet = pq.ParquetWriter(
            sink,
            self._file_schema,
            compression="snappy",
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            version="2.6",
            write_page_checksum=True,
            metadata_collector=metadata,
        )
        self._open += 1
        return _File(path, sink, parquet, metadata)

    def _close(self, partition: _Partition) -> None:
        if (file := partition.file) is None:
            return
        file.parquet.close()
        size = file.sink.tell()
        file.sink.close()
        partition.file = None
        self._open -= 1
        values = {column: str(value) for column, value in zip(self._partition_by, partition.key, strict=True)}
        stats = json.dumps(_statistics(file.metadata[0]))
        self.adds.append(AddAction(file.path, size, values, int(time.time() * 1000), True, stats))


def _split(batch: pa.RecordBatch, by: tuple[str, ...]) -> Iterator[tuple[Key, pa.RecordBatch]]:
    """The rows of `batch` by partition; a partition may come in several pieces when its rows lie apart."""
    if not by or not batch.num_rows:
        if batch.num_rows:
            yield (), batch
        return
    ends = _run_ends(batch, by)
    if len(ends) > 8:
        batch = batch.take(pc.sort_indices(batch.select(by), sort_keys=[(column, "ascending") for column in by]))
        ends = _run_ends(batch, by)
    start = 0
    for end in ends:
        yield tuple(batch.column(column)[start].as_py() for column in by), batch.slice(start, end - start)
        start = end


def _run_ends(batch: pa.RecordBatch, by: tuple[str, ...]) -> list[int]:
    ends: set[int] = set()
    for column in by:
        ends.update(pc.run_end_encode(batch.column(column)).run_ends.to_pylist())
    return sorted(ends)


def _statistics(metadata: pq.FileMetaData) -> dict[str, object]:
    """What the log says about a file: rows, nulls, and the range of integer and date columns, for readers that skip."""
    nulls: dict[str, int] = {}
    smallest: dict[str, int | str] = {}
    largest: dict[str, int | str] = {}
    for index in range(metadata.num_columns):
        parts = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        name = metadata.schema.column(index).name
        if any(part.path_in_schema != name or part.statistics is None for part in parts):
            continue
        known = [part.statistics for part in parts]
        nulls[name] = sum(statistics.null_count for statistics in known)
        ranges = [(statistics.min, statistics.max) for statistics in known if statistics.has_min_max]
        if ranges and all(type(value) in (int, date) for value in ranges[0]):
            smallest[name] = _json(min(low for low, _ in ranges))
            largest[name] = _json(max(high for _, high in ranges))
    return {"numRecords": metadata.num_rows, "nullCount": nulls, "minValues": smallest, "maxValues": largest}


def _json(value: int | date) -> int | str:
    return value.isoformat() if isinstance(value, date) else value
