"""The files of one landing: found, made readable, described, and proven to be read.

Here: everything about files until their rows are judged. Not here: which names are deliveries (zone.py, files.py), or
the rows (contract.py, ingest.py).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from serving_assets.catalog.spec import Source
from serving_assets.engines.protocol import FILE_OF_ROW, Engine, Files, Query, Rows
from serving_assets.errors import InputError, QueryError, ServingAssetsError
from serving_assets.lake import DayRange
from serving_assets.landing.contract import LandedRelation
from serving_assets.landing.csv_text import open_content
from serving_assets.landing.files import LandedFile, columns_of, readable_path
from serving_assets.landing.storage import ListedFile
from serving_assets.landing.zone import FileDelivery, LandingZone

KEPT = "The partition keeps its previous content."
Deliveries = Sequence[tuple[date | None, FileDelivery]]
FILES = pa.schema([("path", pa.string()), ("day", pa.date32()), ("label", pa.string()), ("rank", pa.int64())])
"""What a query knows of each landed file; the rank is higher the newer the file is."""


def find_deliveries(source: Source, zone: LandingZone, days: DayRange | None) -> Deliveries:
    """The deliveries of a snapshot (`days` None), or of each day of a range.

    A day on which nothing happened must deliver a file without rows: a late file would look the same as none.

    Raises:
        InputError: when there is no landing zone, or no file for the snapshot or for one of the days.
    """
    try:
        zone.storage.check()
        found = [(day, zone.delivery(source, day)) for day in (days.days() if days else [None])]
    except InputError as error:
        raise InputError(f"raw/{source.name}: {error.message} {KEPT}", hint=error.hint) from error
    for day, delivery in found:
        if not delivery.files:
            folder = zone.address(source, f"dt={day}" if day else "")
            others = [f"{path.rpartition('/')[2]} ({why})" for path, why in delivery.unread[:3]]
            there = f" There is {', '.join(others)}." if others else ""
            raise InputError(
                f"raw/{source.name}: no {source.format} file has landed in {folder}.{there} {KEPT}",
                hint="Ask the upstream system for it; a day on which nothing happened delivers a file without rows.",
            )
    return found


@contextmanager
def readable_files(
    source: Source, zone: LandingZone, deliveries: Deliveries, engine: Engine
) -> Iterator[tuple[LandedFile, ...]]:
    """The files of `deliveries`, the oldest first, where queries can read them, with their columns.

    Queries that fail in the context are reported as a fault of the delivery, unless they need more memory than they
    may use.

    Raises:
        InputError: when a file cannot be read as the source's format, or lacks a declared column.
    """
    listed = [(day, file) for day, delivery in deliveries for file in delivery.files]
    listed.sort(key=lambda entry: _age(entry[1]))
    with zone.placed(source, [file for _, file in listed]) as paths:
        files = tuple(
            LandedFile(path, day, f"{source.name}/{file.path}", zone.address(source, file.path), file.bytes)
            for path, (day, file) in zip(paths, listed, strict=True)
        )
        try:
            files = tuple(_described(engine, source, file) for file in files)
        except (OSError, EOFError, UnicodeError, csv.Error, ValueError) as error:
            raise _unreadable(source, str(error), files) from error
        except QueryError as error:
            raise _fault(source, error, files) from error
        try:
            yield files
        except QueryError as error:
            raise _fault(source, error, files) from error


def _age(file: ListedFile) -> tuple[object, str]:
    return file.modified, file.path


def files_table(files: Sequence[LandedFile]) -> Rows:
    """`files`, the oldest first, as an input of a query."""
    rows = [(str(file.path), file.day, file.label, rank) for rank, file in enumerate(files)]
    return Rows(pa.Table.from_pylist([dict(zip(FILES.names, row, strict=True)) for row in rows], schema=FILES))


def prove_read(
    source: Source,
    files: Sequence[LandedFile],
    inputs: Mapping[str, Files | Rows],
    relations: Sequence[LandedRelation],
    engine: Engine,
) -> int:
    """How many rows the files have, proven: each file that was listed is read, and each day has rows.

    Raises:
        InputError: when a day has no row, and the source does not declare that it may be empty.
        ServingAssetsError: when a file is not read, or not whole.
    """
    counted: dict[str, int] = {}
    if relations:
        rows = " UNION ALL ".join(f"SELECT {FILE_OF_ROW} AS path FROM {relation.name}" for relation in relations)
        sql = f"SELECT f.path, count(*) AS n FROM ({rows}) AS l JOIN files AS f ON f.path = l.path GROUP BY f.path"
        counted = {row["path"]: row["n"] for row in engine.collect(Query(sql, inputs)).to_pylist()}
    for file in files:
        read = counted.get(str(file.path), 0)
        if not _is_whole(source, file, read):
            raise ServingAssetsError(
                f"raw/{source.name}: {file.address} was listed, and {read:,} of its rows were read. {KEPT}",
                hint="Report it: this is a defect of serving-assets.",
            )
    filled = {file.day for file in files if counted.get(str(file.path))}
    if not source.may_be_empty and (empty := [file.address for file in files if file.day not in filled]):
        raise InputError(
            f"raw/{source.name}: the landed files hold no row ({', '.join(empty[:3])}). {KEPT}",
            hint="Ask the upstream system to deliver again, or declare may_be_empty=True if that is normal.",
        )
    return sum(counted.values())


def _is_whole(source: Source, file: LandedFile, read: int) -> bool:
    """Whether so many rows are all; of text, only whether there are any is known without reading it again."""
    if source.format == "parquet":
        return bool(pq.read_metadata(file.path).num_rows == read)
    if read or file.columns is None:
        return True
    with open_content(file.path) as content:
        lines = (line.strip(b"\xef\xbb\xbf \t\r\n") for line in content)
        filled = (line for line in lines if line)
        if source.format == "csv":
            next(filled, None)
        return next(filled, None) is None


def _described(engine: Engine, source: Source, file: LandedFile) -> LandedFile:
    """The file with its columns; a missing one is found file by file, because the union of all would hide it.

    A line of NDJSON may leave out a key that has no value, so there only columns that are never empty can be missing.
    """
    file = replace(file, path=readable_path(file, source))
    columns = columns_of(engine, file.path, source)
    if columns is None:
        return file
    demanded = [name for name in source.columns if source.format != "ndjson" or source.never_empty(name)]
    if missing := [name for name in demanded if name not in columns]:
        unknown = [name for name in columns if name not in source.columns]
        found = f" It has {', '.join(unknown)}, which are not declared: renamed?" if unknown else ""
        if source.format == "csv" and len(columns) == 1 and (other := _other_delimiter(unknown, source)):
            found += f" Or is {other!r} the delimiter? Then declare csv=Csv(delimiter={other!r})."
        raise InputError(
            f"raw/{source.name}: {file.address} lacks the column {', '.join(missing)}.{found} {KEPT}",
            hint="Ask the upstream system to deliver again, or change the declaration if the change is meant.",
        )
    return replace(file, columns=columns)


def _other_delimiter(header: Sequence[str], source: Source) -> str:
    return next((each for each in ";\t|," if each != source.csv.delimiter and each in "".join(header)), "")


def _fault(source: Source, error: QueryError, files: Sequence[LandedFile]) -> ServingAssetsError:
    return error if error.out_of_memory else _unreadable(source, error.reason, files)


def _unreadable(source: Source, reason: str, files: Sequence[LandedFile]) -> InputError:
    for file in files:
        reason = reason.replace(str(file.path), file.address)
    declare = ", or declare how it is written: csv=Csv(delimiter=..., quote=..., encoding=...)"
    return InputError(
        f"raw/{source.name}: the landed files cannot be read as {source.format}: {reason.replace('.utf-8.csv', '')} "
        f"{KEPT}",
        hint=f"Ask the upstream system to deliver the file named again{declare if source.format == 'csv' else ''}.",
    )
