"""What an engine is asked to do: a query over fixed versions of tables, and where its rows go.

Here: the words between the stages and the engines. Not here: any execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from serving_assets.lake import LakeTable, Scan, Where, Written

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Input:
    """A table as a query sees it: a fixed version, pruned to partitions, its `event_time` earlier than `before`."""

    scan: Scan
    event_time: str | None = None
    before: datetime | None = None


@dataclass(frozen=True)
class Query:
    """One SELECT in DuckDB's dialect over named inputs.

    `parameters` fill `$name`; `timezone` is the session's, in which dates and hours are local.
    """

    sql: str
    inputs: Mapping[str, Input]
    parameters: Mapping[str, object] = field(default_factory=dict)
    timezone: str = "UTC"


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


class Scorer(Protocol):
    """A model as an engine needs it: named output columns of one batch of feature rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `score` returns."""

    def score(self, batch: pa.RecordBatch) -> Mapping[str, np.ndarray]:
        """Float64 arrays, one value a row of `batch`, in its order."""


class Engine(Protocol):
    """Where queries and models run."""

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
