"""The default engine: DuckDB in this process.

Here: views over tables of the lake, bounded connections, and the two verbs. Not here: landed files (landing.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from serving_assets.engines.query import Input, Query, Scorer, Target
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import Scan, Written

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class DuckDBEngine:
    """Runs each query on a connection of its own.

    Args:
        threads: threads of one query.
        memory: memory of one query, such as "1GB"; what is more spills to `scratch`.
        scratch: folder for spilled data.
        batch_rows: rows of one record batch between query, scorer and lake.
    """

    def __init__(self, *, threads: int, memory: str, scratch: Path, batch_rows: int) -> None:
        self.threads, self.memory, self.scratch, self.batch_rows = threads, memory, scratch, batch_rows

    @contextmanager
    def connect(self, timezone: str = "UTC") -> Iterator[duckdb.DuckDBPyConnection]:
        """An empty in-memory database within the engine's bounds; dates and hours are local in `timezone`."""
        import duckdb

        self.scratch.mkdir(parents=True, exist_ok=True)
        bounds: dict[str, str | bool | int | float | list[str]] = {
            "threads": self.threads,
            "memory_limit": self.memory,
            "temp_directory": str(self.scratch),
        }
        with duckdb.connect(config=bounds) as connection:
            connection.execute(f"SET TimeZone = '{timezone}'")
            yield connection

    @contextmanager
    def _relation(self, query: Query) -> Iterator[duckdb.DuckDBPyRelation]:
        import duckdb

        with self.connect(query.timezone) as connection:
            connection.execute("SET preserve_insertion_order = false")
            for name, source in query.inputs.items():
                create_view(connection, name, source)
            try:
                yield connection.sql(query.sql, params=dict(query.parameters))
            except duckdb.Error as error:
                raise ServingAssetsError(
                    f"The query over {', '.join(query.inputs)} failed: {error}",
                    mend=f"With an out-of-memory error, raise ENGINE_MEMORY (now {self.memory}); otherwise correct the SQL.",
                ) from error

    def transform(self, queries: Sequence[Query], into: Target) -> Written:
        """See `Engine.transform`."""
        import pyarrow as pa

        with self._relation(queries[0]) as relation:
            schema = relation.limit(0).to_arrow_table().schema

        def rows() -> Iterator[pa.RecordBatch]:
            for query in queries:
                yield from self.stream(query)

        return into.write(pa.RecordBatchReader.from_batches(schema, rows()))

    def stream(self, query: Query) -> Iterator[pa.RecordBatch]:
        """See `Engine.stream`."""
        with self._relation(query) as relation:
            yield from relation.to_arrow_reader(self.batch_rows)

    def collect(self, query: Query) -> pa.Table:
        """See `Engine.collect`."""
        with self._relation(query) as relation:
            return relation.to_arrow_table()

    def score(self, features: Input, scorer: Scorer, key: str, constants: Mapping[str, object], into: Target) -> Written:
        """See `Engine.score`."""
        with self._relation(Query("SELECT * FROM features", {"features": features})) as relation:
            return into.write(scored_batches(relation.to_arrow_reader(self.batch_rows), scorer, key, constants))


def scored_batches(
    batches: pa.RecordBatchReader, scorer: Scorer, key: str, constants: Mapping[str, object]
) -> pa.RecordBatchReader:
    """A stream of predictions for a stream of feature rows: the key, the constants, and the scorer's columns as float64."""
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


def create_view(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> None:
    """Make `source` readable under `name` on `connection`, without reading any row."""
    relation = _scan_sql(connection, name, source.scan)
    if source.before is not None and source.event_time is not None:
        instant = source.before.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        relation = f"SELECT * FROM ({relation}) WHERE \"{source.event_time}\" < TIMESTAMPTZ '{instant}'"
    connection.execute(f'CREATE TEMP VIEW "{name}" AS {relation}')


def _scan_sql(connection: duckdb.DuckDBPyConnection, name: str, scan: Scan) -> str:
    """SQL over the Parquet files of a scan; remote tables go through Arrow, whose file systems the lake has configured.

    DuckDB's own Parquet reader is several times faster than a scan through Arrow. The empty branch gives columns and
    types also where there is no file, or only files older than a column.
    """
    schema = scan.schema()
    columns = ", ".join(f'CAST(NULL AS {_sql_type(column.type)}) AS "{column.name}"' for column in schema)
    empty = f"SELECT {columns} WHERE false"
    files = scan.files()
    if not files:
        return empty
    if any("://" in file.uri for file in files):
        connection.register(f"{name}__arrow", scan.dataset())
        return f'{empty} UNION ALL BY NAME SELECT * FROM "{name}__arrow"'
    paths = ", ".join("'" + file.uri.replace("'", "''") + "'" for file in files)
    keys = {column for file in files for column in file.partition}
    types = ", ".join(f"'{column}': '{_sql_type(schema.field(column).type)}'" for column in sorted(keys))
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if keys else "hive_partitioning = false"
    return f"{empty} UNION ALL BY NAME SELECT * FROM read_parquet([{paths}], union_by_name = true, {hive})"


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
