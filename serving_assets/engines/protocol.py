"""What an engine is asked to do: a query over fixed versions of tables, and where its rows go.

Here: the words between the stages and the engines. Not here: any execution (engines/duckdb/), or which engines there
are (catalog/compute.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from serving_assets.catalog.spec import Csv, Format
from serving_assets.errors import ConflictError
from serving_assets.lake import LakeTable, Scan, Where, Written

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as pads

FILE_OF_ROW = "_landed_path"
"""The column of landed files that holds the path of the file a row stands in."""
JSON_LINE = "json"
"""The one column of NDJSON files that are read without naming columns: each line's object."""
PART_OF = "landed_rows"
"""The name under which the parts of a landing see its rows."""


@dataclass(frozen=True)
class Input:
    """A table as a query sees it: a fixed version, pruned to partitions, its `event_time` earlier than `before`."""

    scan: Scan
    event_time: str | None = None
    before: datetime | None = None


@dataclass(frozen=True)
class Files:
    """Landed files of one format with the same columns as a query sees them, beside the column `FILE_OF_ROW`.

    Attributes:
        form: the format.
        paths: where they are; no character in a path may have a meaning to a reader.
        columns: the type as which each column of CSV and NDJSON is read, text or JSON. Parquet brings its own. NDJSON
            without `columns` has the one column `JSON_LINE`.
        csv: how CSV is written, but for encoding and line ends: it is UTF-8 with line ends of one kind.
        stamps: size, time and inode of each file when it was listed; empty where that is not watched.
    """

    form: Format
    paths: tuple[Path, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    csv: Csv = field(default_factory=Csv)
    stamps: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def listed(cls, form: Format, paths: Sequence[Path], columns: Mapping[str, str], csv: Csv) -> Files:
        """The files as they are now, which every query over them then proves."""
        return cls(form, tuple(paths), columns, csv, tuple(map(_stamp, paths)))

    def check_unchanged(self) -> None:
        """Raise a `ConflictError` when a file is not the one that was listed; engines do so after the last row."""
        for path, stamp in zip(self.paths, self.stamps, strict=bool(self.stamps)):
            if not path.is_file() or _stamp(path) != stamp:
                raise ConflictError(
                    f"{path} was written anew or removed while it was being read.",
                    hint="Try again; upstream systems deliver a file under a hidden name and rename it when complete.",
                )


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


@dataclass(frozen=True)
class Rows:
    """Rows that this process holds, or can read, as Arrow."""

    data: pa.Table | pads.Dataset


@dataclass(frozen=True)
class Query:
    """One SELECT in DuckDB's dialect over named inputs.

    `parameters` fill `$name`; `timezone` is the session's, in which dates and hours are local. `in_order` asks that the
    rows of each input come in the order in which they are stored, so that a number counted over them is the same in
    the next query.
    """

    sql: str
    inputs: Mapping[str, Input | Files | Rows]
    parameters: Mapping[str, object] = field(default_factory=dict)
    timezone: str = "UTC"
    in_order: bool = False

    def check_unchanged(self) -> None:
        """Raise a `ConflictError` when a landed file of its inputs is not the one that was listed."""
        for source in self.inputs.values():
            if isinstance(source, Files):
                source.check_unchanged()

    def then(self, sql: str) -> Query:
        """`sql` over the rows of this query, which it reads as `PART_OF`."""
        return replace(self, sql=f"WITH {PART_OF} AS ({self.sql}) {sql}")


@dataclass(frozen=True)
class Target:
    """The table, or the partitions of it, that rows replace."""

    table: LakeTable
    where: Where | None = None
    partition_by: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    expected_version: int | None = None

    def write(self, batches: pa.RecordBatchReader) -> Written:
        """Replace what this target names by `batches`, atomically."""
        return self.table.replace(
            batches,
            where=self.where,
            partition_by=self.partition_by,
            metadata=self.metadata,
            expected_version=self.expected_version,
        )


@dataclass(frozen=True)
class Part:
    """Some of the rows of a landing, as a SELECT over `PART_OF`, and where they go."""

    sql: str
    into: Target


class Scorer(Protocol):
    """A model as an engine needs it: named output columns of one batch of feature rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `score` returns."""

    def score(self, batch: pa.RecordBatch) -> Mapping[str, np.ndarray]:
        """Float64 arrays, one value a row of `batch`, in its order."""


@dataclass(frozen=True)
class Limits:
    """What the queries of one engine may use.

    Attributes:
        threads: threads of all queries that run at a time.
        memory: memory of them, such as "1GB"; what is more spills to `scratch`.
        scratch: folder for spilled data.
        batch_rows: rows of one record batch between query, scorer and lake.
    """

    threads: int
    memory: str
    scratch: Path
    batch_rows: int


class Engine(Protocol):
    """Where queries and models run. Every verb raises `QueryError` when the engine cannot run what it is given."""

    limits: Limits

    def land(self, rows: Query, rejected: Part, accepted: Part) -> tuple[Written, Written]:
        """Write the two parts of landed rows, the rejected ones first.

        A kill between the two writes leaves the accepted rows at their old version, never a loss.
        """

    def transform(self, queries: Sequence[Query], into: Target) -> Written:
        """Write the rows of all `queries`, which have the same columns, into `into`, in one commit."""

    def score(
        self, features: Input, scorer: Scorer, key: str, constants: Mapping[str, object], into: Target
    ) -> Written:
        """Score every row of `features`; write the entity key, the scores as float64, and the constant columns."""

    def stream(self, query: Query) -> Iterator[pa.RecordBatch]:
        """The rows of a query, batch by batch."""

    def collect(self, query: Query) -> pa.Table:
        """The rows of a query whose result is small."""
