"""Landed files as one SQL relation, whatever their format and however their columns differ.

Here: finding files, telling their columns, reading them without losing a digit. Not here: what the rows must look like
(contract.py), or where they go (ingest.py).

A column that two files deliver in different types is read as text: a union type would round (the integers of one file
become doubles because of the other), and the contract reads text exactly. CSV and NDJSON are text anyhow, so nothing is
guessed from samples.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

from serving_assets.catalog.columns import identifier, literal
from serving_assets.catalog.spec import Format, Source

if TYPE_CHECKING:
    import duckdb

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz"),
    "ndjson": (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz"),
}
TEXT = "VARCHAR"
PATH = "_landed_path"


@dataclass(frozen=True)
class LandedFile:
    """One file, the day it was delivered for (None for a snapshot), and its columns with their types."""

    path: Path
    day: date | None
    columns: Mapping[str, str]


def deliveries(folder: Path, form: Format) -> list[Path]:
    """The finished files of a folder, sorted; names that begin with a dot or an underscore are still being written."""
    return sorted(
        path
        for path in folder.glob("*")
        if path.name.endswith(SUFFIXES[form]) and path.name[0] not in "._" and path.is_file()
    )


def columns_of(connection: duckdb.DuckDBPyConnection, path: Path, form: Format) -> dict[str, str] | None:
    """Columns of one file with DuckDB's names of their types; None for a text file without a single byte of content.

    Raises:
        ValueError: when the columns cannot be told apart.
        duckdb.Error, OSError, EOFError, csv.Error: when the file is not of that format.
    """
    if form == "parquet":
        relation = connection.sql(f"SELECT * FROM {_reader(form, [path], {})} LIMIT 0")
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        del types[PATH]
        return types
    if _is_blank(path):
        return None
    names = _csv_header(path) if form == "csv" else _ndjson_keys(connection, path)
    lowered = [name.lower() for name in names]
    if twice := sorted({name for name in names if lowered.count(name.lower()) > 1}):
        raise ValueError(f"the columns {', '.join(twice)} cannot be told apart, because case does not count")
    return dict.fromkeys(names, TEXT)


def landed_sql(files: Sequence[LandedFile], source: Source) -> tuple[str, dict[str, str]]:
    """SQL of all rows of all files, beside the column `PATH`, and the type of each column in it.

    Without any file, the columns are the declared ones and there is no row.
    """
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {TEXT}) AS {identifier(name)}" for name in (PATH, *source.columns))
        return f"SELECT {nothing} WHERE false", dict.fromkeys(source.columns, TEXT)
    types: dict[str, str] = {}
    for file in files:
        for name, found in file.columns.items():
            types[name] = found if types.get(name, found) == found else TEXT
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for file in files:
        groups.setdefault(tuple(file.columns.items()), []).append(file.path)
    branches = []
    for columns, paths in groups.items():
        as_text = [name for name, found in columns if found != types[name]]
        casts = ", ".join(f"CAST({identifier(name)} AS {TEXT}) AS {identifier(name)}" for name in as_text)
        replaced = f" REPLACE ({casts})" if casts else ""
        branches.append(f"SELECT *{replaced} FROM {_reader(source.format, paths, dict(columns))}")
    return " UNION ALL BY NAME ".join(branches), types


def _reader(form: Format, paths: Iterable[Path], columns: Mapping[str, str]) -> str:
    listed = "[" + ", ".join(literal(str(path)) for path in paths) + "]"
    shared = f"filename = '{PATH}', hive_partitioning = false"
    texts = "{" + ", ".join(f"{literal(name)}: '{TEXT}'" for name in columns) + "}"
    match form:
        case "parquet":
            return f"read_parquet({listed}, {shared})"
        case "csv":
            dialect = "auto_detect = false, delim = ',', quote = '\"', escape = '\"', header = true, nullstr = ''"
            return f"read_csv({listed}, {shared}, {dialect}, columns = {texts})"
        case "ndjson":
            return f"read_json({listed}, {shared}, format = 'newline_delimited', columns = {texts})"


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _is_blank(path: Path) -> bool:
    with _open(path) as file:
        return not file.read(1)


def _csv_header(path: Path) -> list[str]:
    with _open(path) as file:
        lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))
        header = next(csv.reader(lines, strict=True), [])
    return [name or f"column{position}" for position, name in enumerate(header)]


def _ndjson_keys(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    keys = connection.sql(
        f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM read_ndjson_objects({literal(str(path))}) ORDER BY key"
    )
    return [str(key) for key in keys.to_arrow_table().column("key").to_pylist()]
