"""The inputs of a query as views of one DuckDB connection: tables of the lake, landed files, Arrow rows.

Here: how each kind of input is read. Not here: the connection, or what is asked of the views (engine.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from serving_assets.catalog.columns import identifier, literal
from serving_assets.engines.protocol import FILE_OF_ROW, JSON_LINE, Files, Input, Query, Rows
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import DataFile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TEXT = "VARCHAR"


def create_views(connection: duckdb.DuckDBPyConnection, query: Query) -> None:
    """Make the inputs of `query` readable on `connection`, without reading any row."""
    for name, source in query.inputs.items():
        match source:
            case Input():
                rows = _table_sql(connection, name, source)
            case Files():
                rows = f"SELECT * FROM {_reader_sql(source)}"
            case Rows():
                rows = _arrow_sql(connection, name, source)
        connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS {rows}")


def _table_sql(connection: duckdb.DuckDBPyConnection, name: str, source: Input) -> str:
    if _needs_arrow(source.scan.storage.uri):
        rows = _arrow_sql(connection, name, Rows(source.scan.dataset()))
    else:
        rows = _parquet_sql(source.scan.files(), source.scan.schema())
    if source.before is None or source.event_time is None:
        return rows
    instant = source.before.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return f"SELECT * FROM ({rows}) WHERE {identifier(source.event_time)} < TIMESTAMPTZ '{instant}'"


def _arrow_sql(connection: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> str:
    connection.register(f"{name}__arrow", rows.data)
    return f"SELECT * FROM {identifier(f'{name}__arrow')}"


def _needs_arrow(uri: str) -> bool:
    """Whether DuckDB's own Parquet reader, several times faster than a scan through Arrow, would fail or be wrong.

    The lake has configured the file systems of remote tables for Arrow; and a folder such as `env=prod` above the table
    is taken for a partition of it, which even replaces the values of a column of that name.
    """
    return "://" in uri or "=" in uri


def _paths_sql(paths: Iterable[str]) -> str:
    """A list of literal paths. DuckDB takes them for patterns: `late[1].csv` would find `late1.csv`."""
    return "[" + ", ".join(literal(re.sub(r"([*?\[])", r"[\1]", path)) for path in paths) + "]"


def _parquet_sql(files: Sequence[DataFile], schema: pa.Schema) -> str:
    """SQL over local Parquet files with the columns and types of `schema`, which some files, or all, may lack."""
    columns = {column.name: _sql_type(column.type) for column in schema}
    empty = ", ".join(f"CAST(NULL AS {sql_type}) AS {identifier(name)}" for name, sql_type in columns.items())
    if not files:
        return f"SELECT {empty} WHERE false"
    paths = _paths_sql(file.uri for file in files)
    keys = sorted({column for file in files for column in file.partition})
    types = ", ".join(f"{literal(key)}: {literal(columns[key])}" for key in keys)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if keys else "hive_partitioning = false"
    return (
        f"SELECT {empty} WHERE false UNION ALL BY NAME "
        f"SELECT * FROM read_parquet({paths}, union_by_name = true, {hive})"
    )


def _reader_sql(files: Files) -> str:
    listed = _paths_sql(map(str, files.paths))
    shared = f"filename = '{FILE_OF_ROW}', hive_partitioning = false"
    types = "{" + ", ".join(f"{literal(name)}: '{of}'" for name, of in files.columns.items()) + "}"
    match files.form:
        case "parquet":
            return f"read_parquet({listed}, {shared})"
        case "csv":
            quote = literal(files.csv.quote)
            dialect = f"auto_detect = false, delim = {literal(files.csv.delimiter)}, quote = {quote}, escape = {quote}"
            dialect += ", header = true, nullstr = ''"
            return f"read_csv({listed}, {shared}, {dialect}, columns = {types})"
        case "ndjson" if not files.columns:
            line = f"records = false, columns = {{{JSON_LINE}: 'JSON'}}"
            return f"read_json({listed}, {shared}, format = 'newline_delimited', {line})"
        case "ndjson":
            return f"read_json({listed}, {shared}, format = 'newline_delimited', columns = {types})"


def _sql_type(arrow_type: pa.DataType) -> str:
    import pyarrow as pa

    names = {
        pa.bool_(): "BOOLEAN",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.float32(): "FLOAT",
        pa.float64(): "DOUBLE",
        pa.string(): TEXT,
        pa.date32(): "DATE",
    }
    if pa.types.is_timestamp(arrow_type):
        return "TIMESTAMP WITH TIME ZONE"
    if arrow_type not in names:
        raise ServingAssetsError(f"The lake holds a column of type {arrow_type}, which the project does not write.")
    return names[arrow_type]
