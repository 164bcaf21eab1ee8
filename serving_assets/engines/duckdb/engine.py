"""The default engine: DuckDB in this process.

Here: views over tables of the lake, bounded connections, and the two verbs. Not here: landed files (landing/ingest.py).
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from serving_assets.catalog.columns import identifier, literal
from serving_assets.engines.protocol import Input, Query, Scorer, Target
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import DataFile, Written

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


_engines: weakref.WeakSet[DuckDBEngine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """DuckDB reports, in many lines on the screen, what is still open when the interpreter goes."""
    for engine in _engines:
        engine.close()


class DuckDBEngine:
    """Runs each query on a connection of its own to one database in memory, which holds nothing but views.

    Opening a database starts threads and costs ten times as much as a connection to one, and a daily run asks a dozen
    queries. A database in which a query has failed is not asked again: an error may have made it unusable.

    Args:
        threads: threads of all queries that run at a time.
        memory: memory of them, such as "1GB"; what is more spills to `scratch`.
        scratch: folder for spilled data.
        batch_rows: rows of one record batch between query, scorer and lake.
    """

    def __init__(self, *, threads: int, memory: str, scratch: Path, batch_rows: int) -> None:
        self.threads, self.memory, self.scratch, self.batch_rows = threads, memory, scratch, batch_rows
        self._shared: duckdb.DuckDBPyConnection | None = None
        _engines.add(self)

    def close(self) -> None:
        """Let go of the database; the next query opens another."""
        self._shared = None

    @contextmanager
    def connect(self, timezone: str = "UTC") -> Iterator[duckdb.DuckDBPyConnection]:
        """An empty in-memory database within the engine's bounds; dates and hours are local in `timezone`."""
        with self._opened() as connection:
            yield _set_up(connection, timezone)

    def _opened(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        self.scratch.mkdir(parents=True, exist_ok=True)
        bounds: dict[str, str | bool | int | float | list[str]] = {
            "threads": self.threads,
            "memory_limit": self.memory,
            "temp_directory": str(self.scratch),
        }
        return duckdb.connect(config=bounds)

    @contextmanager
    def _relation(self, query: Query) -> Iterator[duckdb.DuckDBPyRelation]:
        import duckdb

        shared = self._shared = self._shared or self._opened()
        with shared.cursor() as connection:
            _set_up(connection, query.timezone).execute("SET preserve_insertion_order = false")
            try:
                for name, source in query.inputs.items():
                    create_view(connection, name, source)
                yield connection.sql(query.sql, params=dict(query.parameters))
            except duckdb.Error as error:
                raise self._failed(query, error) from error

    def _failed(self, query: Query, error: Exception) -> ServingAssetsError:
        self.close()
        return ServingAssetsError(
            f"The query over {', '.join(query.inputs)} failed: {plain(error)}",
            hint=f"With an out-of-memory error, raise ENGINE_MEMORY (now {self.memory}); otherwise correct the SQL.",
        )

    @contextmanager
    def _reader(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        with self._relation(query) as relation:
            yield streamed(relation, self.batch_rows, partial(self._failed, query))

    def transform(self, queries: Sequence[Query], into: Target) -> Written:
        """See `Engine.transform`."""
        import pyarrow as pa

        with self._reader(queries[0]) as first:
            others = (batch for query in queries[1:] for batch in self.stream(query))
            return into.write(pa.RecordBatchReader.from_batches(first.schema, chain(first, others)))

    def stream(self, query: Query) -> Iterator[pa.RecordBatch]:
        """See `Engine.stream`."""
        with self._reader(query) as batches:
            yield from batches

    def collect(self, query: Query) -> pa.Table:
        """See `Engine.collect`."""
        with self._relation(query) as relation:
            return relation.to_arrow_table()

    def score(
        self, features: Input, scorer: Scorer, key: str, constants: Mapping[str, object], into: Target
    ) -> Written:
        """See `Engine.score`."""
        with self._reader(Query("SELECT * FROM features", {"features": features})) as batches:
            return into.write(scored_batches(batches, scorer, key, constants))


def _set_up(connection: duckdb.DuckDBPyConnection, timezone: str) -> duckdb.DuckDBPyConnection:
    connection.execute(f"SET TimeZone = '{timezone}'")
    connection.execute("SET enable_progress_bar = false")  # it draws over a command's own bar, and into logs
    return connection


def scored_batches(
    batches: pa.RecordBatchReader, scorer: Scorer, key: str, constants: Mapping[str, object]
) -> pa.RecordBatchReader:
    """Predictions for a stream of feature rows: the key, the constants, and the scorer's columns as float64."""
    import pyarrow as pa

    scalars = {name: pa.scalar(value) for name, value in constants.items()}
    fields = [batches.schema.field(key)]
    fields += [pa.field(name, scalar.type) for name, scalar in scalars.items()]
    fields += [pa.field(name, pa.float64()) for name in scorer.columns]
    schema = pa.schema(fields)

    def scored() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scores = scorer.score(batch)
            columns = [batch.column(key)]
            columns += [pa.repeat(scalar, batch.num_rows) for scalar in scalars.values()]
            columns += [pa.array(scores[name], pa.float64()) for name in scorer.columns]
            yield pa.record_batch(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, scored())


def streamed(
    relation: duckdb.DuckDBPyRelation, batch_rows: int, failed: Callable[[Exception], ServingAssetsError]
) -> pa.RecordBatchReader:
    """The rows of a relation, batch by batch; what goes wrong while they are made is raised as `failed` words it.

    An error of DuckDB in the middle of a stream arrives as an OSError, like one of the disk that the rows are written
    to: only here can the two be told apart.
    """
    import duckdb
    import pyarrow as pa

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise failed(error) from error

    with told():
        reader = relation.to_arrow_reader(batch_rows)

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            with told():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def plain(error: Exception) -> str:
    """An error of DuckDB without its advice, which is about options of a call that the user does not make."""
    lines = str(error).splitlines()
    said = list(takewhile(lambda line: not line.startswith(("Possible ", "Try ", "* ")), lines))
    said += [line for line in lines[len(said) :] if line.strip().startswith("file = ")]
    return " ".join(part[:300] for part in (line.strip() for line in said) if part)


def create_view(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> None:
    """Make `source` readable under `name` on `connection`, without reading any row."""
    if _needs_arrow(source.scan.storage.uri):
        connection.register(f"{name}__arrow", source.scan.dataset())
        rows = f"SELECT * FROM {identifier(f'{name}__arrow')}"
    else:
        rows = _parquet_sql(source.scan.files(), source.scan.schema())
    if source.before is not None and source.event_time is not None:
        instant = source.before.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        rows = f"SELECT * FROM ({rows}) WHERE {identifier(source.event_time)} < TIMESTAMPTZ '{instant}'"
    connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS {rows}")


def _needs_arrow(uri: str) -> bool:
    """Whether DuckDB's own Parquet reader, several times faster than a scan through Arrow, would fail or be wrong.

    The lake has configured the file systems of remote tables for Arrow; and a folder such as `env=prod` above the table
    is taken for a partition of it, which even replaces the values of a column of that name.
    """
    return "://" in uri or "=" in uri


def _parquet_sql(files: Sequence[DataFile], schema: pa.Schema) -> str:
    """SQL over local Parquet files with the columns and types of `schema`, which some files, or all, may lack."""
    columns = {column.name: _sql_type(column.type) for column in schema}
    empty = ", ".join(f"CAST(NULL AS {sql_type}) AS {identifier(name)}" for name, sql_type in columns.items())
    if not files:
        return f"SELECT {empty} WHERE false"
    paths = ", ".join(literal(file.uri) for file in files)
    keys = sorted({column for file in files for column in file.partition})
    types = ", ".join(f"{literal(key)}: {literal(columns[key])}" for key in keys)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if keys else "hive_partitioning = false"
    return (
        f"SELECT {empty} WHERE false UNION ALL BY NAME "
        f"SELECT * FROM read_parquet([{paths}], union_by_name = true, {hive})"
    )


def _sql_type(arrow_type: pa.DataType) -> str:
    import pyarrow as pa

    names = {
        pa.bool_(): "BOOLEAN",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.float32(): "FLOAT",
        pa.float64(): "DOUBLE",
        pa.string(): "VARCHAR",
        pa.date32(): "DATE",
    }
    if pa.types.is_timestamp(arrow_type):
        return "TIMESTAMP WITH TIME ZONE"
    if arrow_type not in names:
        raise ServingAssetsError(f"The lake holds a column of type {arrow_type}, which the project does not write.")
    return names[arrow_type]
