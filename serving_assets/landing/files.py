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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.spec import Format, Source
from serving_assets.engines.protocol import FILE_OF_ROW, JSON_LINE, Engine, Files, Query

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz"),
    "ndjson": (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz"),
}
TEXT = "VARCHAR"


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


def columns_of(engine: Engine, path: Path, form: Format) -> dict[str, str] | None:
    """Columns of one file with DuckDB's names of their types; None for a text file without a single byte of content.

    Raises:
        ValueError: when the columns cannot be told apart.
        QueryError, OSError, EOFError, csv.Error: when the file is not of that format.
    """
    if form == "parquet":
        described = "SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM t)"
        found = engine.collect(Query(described, {"t": Files(form, (path,))})).to_pylist()
        return {row["name"]: row["type"] for row in found if row["name"] != FILE_OF_ROW}
    if _is_blank(path):
        return None
    names = _csv_header(path) if form == "csv" else _ndjson_keys(engine, path)
    lowered = [name.lower() for name in names]
    if twice := sorted({name for name in names if lowered.count(name.lower()) > 1}):
        raise ValueError(f"the columns {', '.join(twice)} cannot be told apart, because case does not count")
    return dict.fromkeys(names, TEXT)


def landed_rows(files: Sequence[LandedFile], source: Source) -> tuple[dict[str, Files], str, dict[str, str]]:
    """All rows of all files, beside the column `FILE_OF_ROW`: inputs of a query, and SQL over them.

    Without any file, the columns are the declared ones and there is no row.

    Returns:
        The inputs, the SQL, and the type of each column in it.
    """
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {TEXT}) AS {identifier(name)}" for name in (FILE_OF_ROW, *source.columns))
        return {}, f"SELECT {nothing} WHERE false", dict.fromkeys(source.columns, TEXT)
    types: dict[str, str] = {}
    for file in files:
        for name, found in file.columns.items():
            types[name] = found if types.get(name, found) == found else TEXT
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for file in files:
        groups.setdefault(tuple(file.columns.items()), []).append(file.path)
    inputs, branches = {}, []
    for number, (columns, paths) in enumerate(groups.items()):
        named = () if source.format == "parquet" else tuple(name for name, _ in columns)
        inputs[f"files_{number}"] = Files(source.format, tuple(paths), named)
        as_text = [name for name, found in columns if found != types[name]]
        casts = ", ".join(f"CAST({identifier(name)} AS {TEXT}) AS {identifier(name)}" for name in as_text)
        replaced = f" REPLACE ({casts})" if casts else ""
        branches.append(f"SELECT *{replaced} FROM files_{number}")
    return inputs, " UNION ALL BY NAME ".join(branches), types


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


def _ndjson_keys(engine: Engine, path: Path) -> list[str]:
    sql = f"SELECT DISTINCT unnest(json_keys({JSON_LINE})) AS key FROM t ORDER BY key"
    return [str(key) for key in engine.collect(Query(sql, {"t": Files("ndjson", (path,))})).column("key").to_pylist()]
