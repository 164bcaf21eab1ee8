"""Turn landed files into typed rows, and keep apart, with the reason, those that break the source's contract.

Here: which files belong to a landing, accepted and rejected rows, and what is told of them. Not here: the formats
(files.py), the contract (contract.py), or what is done about a share of rejected rows (pipeline/checks/).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.names import layer_table, quarantine_table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import FILE_OF_ROW, PART_OF, Engine, Input, Part, Query, Rows, Target
from serving_assets.errors import InputError, QueryError
from serving_assets.lake import DayRange, Lake, LakeTable, Where, Written
from serving_assets.landing import contract
from serving_assets.landing.files import LandedFile, columns_of, deliveries, landed_rows

FINGERPRINT = "landed_fingerprint"
EXTRA_COLUMNS = "landed_extra_columns"
KEPT = "The partition keeps its previous content."
NOBODY: Mapping[str, PersonHashes] = {}
DAYS = pa.schema([("path", pa.string()), ("day", pa.date32()), ("label", pa.string())])
"""What is known of each landed file: its path, its day, and its name below the landing zone."""
SHOWN_OF_A_ROW = 1_000
"""Characters of a rejected row that are shown as an example; the table keeps all of it."""


@dataclass(frozen=True)
class Landed:
    """What one landing became: rows written, rows kept apart by reason, and columns that nobody declared.

    `accepted` is None when the files and the contract were those of the last landing, so that nothing was written.
    """

    accepted: Written | None
    rows: int
    rejected: int
    reasons: dict[str, int]
    examples: tuple[dict[str, Any], ...]
    extra_columns: tuple[str, ...]
    files: int


def find_files(source: Source, landing: Path, days: DayRange | None) -> list[tuple[date | None, Path]]:
    """The landed files of a snapshot (`days` None) or of a range of days, with the day each belongs to.

    A day on which nothing happened must deliver a file without rows: a late file would look the same as none.

    Raises:
        InputError: when there is no landing zone, or no file for the snapshot or for one of the days.
    """
    if not landing.is_dir():
        raise InputError(
            f"raw/{source.name}: there is no landing zone {landing}. {KEPT}",
            hint="Correct LANDING_URI, or attach the storage.",
        )
    found: list[tuple[date | None, Path]] = []
    for day in days.days() if days else [None]:
        folder = landing / source.name / f"dt={day}" if day else landing / source.name
        files = deliveries(folder, source.format)
        if not files:
            raise InputError(
                f"raw/{source.name}: no {source.format} file has landed in {folder}. {KEPT}",
                hint="Ask the upstream system for it; a day on which nothing happened delivers a file without rows.",
            )
        found += [(day, file) for file in files]
    return found


def ingest(
    source: Source,
    landing: Path,
    days: DayRange | None,
    lake: Lake,
    engine: Engine,
    timezone: str,
    left_out: Mapping[str, PersonHashes] = NOBODY,
) -> Landed:
    """Replace the partitions `days` (or the whole snapshot) of `raw/<source>` and of its rejects by what has landed.

    Rows of persons who were erased, `left_out` by column, go into neither.

    A snapshot whose files and contract are those of the last landing is left as it is. Rejected rows are written first:
    a kill between the two writes leaves the accepted rows at their old version, never a loss.

    Raises:
        InputError: when files are missing, unreadable, empty without leave, or lack a declared column. Nothing is
            written then.
    """
    paths = find_files(source, landing, days)
    raw_table = layer_table("raw", source.name)
    accepted, rejected = lake.table(raw_table), lake.table(quarantine_table(raw_table))
    where = {DAY: days} if days else None
    fingerprint = "" if days else _fingerprint(source, [path for _, path in paths])
    if fingerprint and all(_fingerprint_of(table) == fingerprint for table in (accepted, rejected)):
        extra = json.loads(accepted.commit_metadata()[EXTRA_COLUMNS])
        return Landed(None, accepted.scan().rows(), *_refused(rejected, where, engine), tuple(extra), len(paths))
    with _readable(source):
        with _decodable(source):
            files = _described(engine, source, paths)
        rows, types = _judged(engine, source, files, landing, timezone, left_out)
        if not source.may_be_empty:
            _refuse_empty(engine, rows, source, paths)
        extra = sorted(set(types) - set(source.columns))
        facts = {FINGERPRINT: fingerprint, EXTRA_COLUMNS: json.dumps(extra)}
        now = f"TIMESTAMPTZ '{datetime.now(UTC).isoformat()}' AS _ingested_at"

        def part(table: LakeTable, select: str, reason: str) -> Part:
            day = f"{DAY}, " if days else ""
            sql = f"SELECT {day}{select}, _source_file, {now} FROM {PART_OF} WHERE _reason IS {reason}"
            return Part(sql, Target(table, where, (DAY,) if days else (), facts))

        written = engine.land(
            rows,
            part(rejected, f"_reason AS reason, {contract.original_sql(types)} AS row", "NOT NULL"),
            part(accepted, ", ".join(identifier(name) for name in source.columns), "NULL"),
        )[1]
    return Landed(written, written.rows, *_refused(rejected, where, engine), tuple(extra), len(paths))


def _described(engine: Engine, source: Source, paths: Sequence[tuple[date | None, Path]]) -> list[LandedFile]:
    """The files with their columns; a missing one is found file by file, because the union of all would hide it.

    A line of NDJSON may leave out a key that has no value, so there only columns that are never empty can be missing.
    """
    files = []
    for day, path in paths:
        columns = columns_of(engine, path, source.format)
        if columns is None:
            continue
        demanded = [n for n in source.columns if source.format != "ndjson" or source.never_empty(n)]
        if missing := [name for name in demanded if name not in columns]:
            unknown = [name for name in columns if name not in source.columns]
            hint = f" It has {', '.join(unknown)}, which nobody declared: renamed?" if unknown else ""
            raise InputError(
                f"raw/{source.name}: {path} lacks the column {', '.join(missing)}.{hint} {KEPT}",
                hint="Ask the upstream system to deliver again, or change the declaration if the change is meant.",
            )
        files.append(LandedFile(path, day, columns))
    return files


def _refuse_empty(engine: Engine, rows: Query, source: Source, paths: Sequence[tuple[date | None, Path]]) -> None:
    """Day by day, because the rows of the other days of a range would hide that one has none."""
    sql = f"SELECT DISTINCT day FROM days WHERE path IN (SELECT {FILE_OF_ROW} FROM landed)"
    filled = set(engine.collect(replace(rows, sql=sql, parameters={})).column("day").to_pylist())
    if empty := [path for day, path in paths if day not in filled]:
        raise InputError(
            f"raw/{source.name}: the landed files hold no row ({', '.join(map(str, empty[:3]))}). {KEPT}",
            hint="Ask the upstream system to deliver again, or declare may_be_empty=True if that is normal.",
        )


def _judged(
    engine: Engine,
    source: Source,
    files: Sequence[LandedFile],
    landing: Path,
    timezone: str,
    left_out: Mapping[str, PersonHashes],
) -> tuple[Query, Mapping[str, str]]:
    """Every landed row, typed, with `_reason`, null for an accepted one; and the landed columns with their types.

    The files are read anew by each query, so that memory does not grow with what has landed: reading them twice costs
    less than keeping them. Rows are numbered and ranked only where a key has copies, because that reads one file at a
    time.
    """
    inputs, landed, types = landed_rows(files, source)
    days = [(str(file.path), file.day, file.path.relative_to(landing).as_posix()) for file in files]
    columns = zip(*days, strict=True) if days else ([], [], [])
    arrays = [pa.array(values, dtype) for values, dtype in zip(columns, DAYS.types, strict=True)]
    reason, copies = "_broken", {}
    views = {"landed": landed, "judged": contract.judged_sql(source, types, timezone, numbered=False)}
    rows = Query("", {**inputs, "days": Rows(pa.table(arrays, schema=DAYS))}, views=views, in_order=True)
    if engine.collect(replace(rows, sql=contract.has_copies_sql(source))).num_rows:
        views["judged"] = contract.judged_sql(source, types, timezone, numbered=True)
        copies = {"copies": Rows(engine.collect(replace(rows, sql=contract.copies_sql(source))))}
        reason = contract.reason_sql(source)
    persons = {name: subjects for name, subjects in left_out.items() if name in types}
    erased = [subjects.condition([f"_landed.{identifier(name)}"]) for name, subjects in persons.items()]
    secret = dict.fromkeys(("secret",) if persons else (), next((each.secret for each in persons.values()), ""))
    explained = f"SELECT *, {reason} AS _reason FROM judged WHERE ({' OR '.join(erased) or 'false'}) IS NOT TRUE"
    return replace(rows, sql=explained, inputs={**rows.inputs, **copies}, parameters=secret), types


def _refused(
    rejected: LakeTable, where: Where | None, engine: Engine
) -> tuple[int, dict[str, int], tuple[dict[str, Any], ...]]:
    """How many rows were kept apart, the commonest reasons, and some of the rows."""
    rows = {"rejected": Input(rejected.scan(where))}
    tally = engine.collect(
        Query("SELECT reason, count(*) AS n FROM rejected GROUP BY reason ORDER BY n DESC, reason LIMIT 20", rows)
    )
    shown = f"reason, _source_file AS file, left(row, {SHOWN_OF_A_ROW}) AS row"
    examples = engine.collect(Query(f"SELECT {shown} FROM rejected ORDER BY file, reason, row LIMIT 10", rows))
    reasons = {row["reason"]: row["n"] for row in tally.to_pylist()}
    return rows["rejected"].scan.rows(), reasons, tuple(examples.to_pylist())


def _fingerprint(source: Source, paths: Sequence[Path]) -> str:
    """Of the files and of the declaration, because another contract makes other rows of the same files."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def _fingerprint_of(table: LakeTable) -> str | None:
    return table.commit_metadata().get(FINGERPRINT) if table.exists() else None


@contextmanager
def _readable(source: Source) -> Iterator[None]:
    """Report a query that fails as a fault of the delivery, unless it needs more memory than it may use."""
    try:
        yield
    except QueryError as error:
        if error.out_of_memory:
            raise
        raise _unreadable(source, error.reason) from error


@contextmanager
def _decodable(source: Source) -> Iterator[None]:
    """Report what Python cannot read as a fault of the delivery."""
    try:
        yield
    except (OSError, EOFError, UnicodeError, csv.Error, ValueError) as error:
        raise _unreadable(source, str(error)) from error


def _unreadable(source: Source, reason: str) -> InputError:
    return InputError(
        f"raw/{source.name}: the landed files cannot be read as {source.format}: {reason} {KEPT}",
        hint="Ask the upstream system to deliver the file named again.",
    )
