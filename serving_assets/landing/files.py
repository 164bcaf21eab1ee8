"""Landed files as relations of a query, whatever their format and however their columns differ.

Here: which files are read, their columns, reading them without losing a digit. Not here: which values are kept
(casts.py), what the rows must look like (contract.py), or where they go (ingest.py).

CSV and NDJSON are read as text, so nothing is guessed from samples. Files whose columns or types differ are relations
of their own: a common type would round (the integers of one file become doubles because of the other).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from serving_assets.catalog.spec import Csv, Format, Source
from serving_assets.engines.protocol import FILE_OF_ROW, JSON_LINE, Engine, Files, Query
from serving_assets.landing.casts import JSON, TEXT
from serving_assets.landing.contract import LandedRelation
from serving_assets.landing.csv_text import open_content, readable

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "csv": (".csv", ".csv.gz"),
    "ndjson": (".ndjson", ".jsonl", ".json", ".ndjson.gz", ".jsonl.gz", ".json.gz"),
}


@dataclass(frozen=True)
class LandedFile:
    """One file that is read.

    Attributes:
        path: where a query reads it.
        day: the day it was delivered for; None for a snapshot.
        label: its name below the landing zone.
        address: where upstream put it, for messages.
        bytes: its size as listed.
        columns: their types; None when a text file has no content.
    """

    path: Path
    day: date | None
    label: str
    address: str
    bytes: int
    columns: Mapping[str, str] | None = None


def suffix_of(name: str, form: Format) -> str:
    """The suffix by which `name` is a file of the format, in lower case; empty when it is none."""
    lowered = name.lower()
    return next((suffix for suffix in sorted(SUFFIXES[form], key=len, reverse=True) if lowered.endswith(suffix)), "")


def why_not_read(name: str, source: Source) -> str:
    """Why a file of that name is not read; empty when it is."""
    if is_ignored(name, source):
        return "ignored by declaration"
    if name[0] in "._":
        return "its name begins with a dot or an underscore, as those of unfinished files do"
    if not suffix_of(name, source.format):
        return f"its name ends in none of {', '.join(SUFFIXES[source.format])}"
    return ""


def is_ignored(name: str, source: Source) -> bool:
    """Whether the source declares that files of that name hold no rows."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in source.ignored_files)


def columns_of(engine: Engine, path: Path, source: Source) -> dict[str, str] | None:
    """Columns of one file with DuckDB's names of their types; None for a text file without a single byte of content.

    Raises:
        ValueError: when two columns have the same name but for case.
        QueryError, OSError, EOFError, csv.Error: when the file is not of that format.
    """
    if source.format == "parquet":
        described = "SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM t)"
        found = engine.collect(Query(described, {"t": Files("parquet", (path,))})).to_pylist()
        return {row["name"]: row["type"] for row in found if row["name"] != FILE_OF_ROW}
    with open_content(path) as file:
        if not file.read(1):
            return None
    names = _csv_header(path, source.csv) if source.format == "csv" else _ndjson_keys(engine, path)
    lowered = [name.lower() for name in names]
    if twice := sorted({name for name in names if lowered.count(name.lower()) > 1}):
        raise ValueError(f"the columns {', '.join(twice)} have the same name, because case does not count")
    strings = {name for name, column in source.columns.items() if column.dtype == "string"}
    return {name: JSON if source.format == "ndjson" and name in strings else TEXT for name in names}


def readable_path(file: LandedFile, source: Source) -> Path:
    """The path at which a query can read a file: its own, or a copy beside it in UTF-8 with line ends of one kind.

    Raises:
        ValueError: naming the line that is not of the declared encoding.
    """
    return readable(file.path, source.csv) if source.format == "csv" else file.path


def relations_of(files: Sequence[LandedFile], source: Source) -> tuple[dict[str, Files], list[LandedRelation]]:
    """The files that have content as inputs of a query, and what is known of each input."""
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for file in files:
        if file.columns is not None:
            groups.setdefault(tuple(file.columns.items()), []).append(file.path)
    inputs, relations = {}, []
    for number, (columns, paths) in enumerate(groups.items()):
        relations.append(relation := LandedRelation(f"files_{number}", dict(columns)))
        read = {} if source.format == "parquet" else relation.types
        inputs[relation.name] = Files.listed(source.format, paths, read, source.csv)
    return inputs, relations


def _csv_header(path: Path, dialect: Csv) -> list[str]:
    with open_content(path) as file:
        lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))
        header = next(csv.reader(lines, strict=True, delimiter=dialect.delimiter, quotechar=dialect.quote), [])
    return [name or f"column{position}" for position, name in enumerate(header)]


def _ndjson_keys(engine: Engine, path: Path) -> list[str]:
    sql = f"SELECT DISTINCT unnest(json_keys({JSON_LINE})) AS key FROM t ORDER BY key"
    return [str(key) for key in engine.collect(Query(sql, {"t": Files("ndjson", (path,))})).column("key").to_pylist()]
