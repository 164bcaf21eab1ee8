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
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving_assets.catalog.columns import identifier, literal
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.duckdb.engine import DuckDBEngine, plain, streamed
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.lake import DayRange, Lake, LakeTable, Where, Written
from serving_assets.landing import contract
from serving_assets.landing.files import PATH, LandedFile, columns_of, deliveries, landed_sql

if TYPE_CHECKING:
    import duckdb

FINGERPRINT = "landed_fingerprint"
EXTRA_COLUMNS = "landed_extra_columns"
KEPT = "The partition keeps its previous content."
NOBODY: Mapping[str, PersonHashes] = {}
SECRET = "erasure_secret"
"""A variable of the connection, because a view takes no parameters, and an error message shows a literal."""
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
    engine: DuckDBEngine,
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
    accepted, rejected = lake.table(f"raw/{source.name}"), lake.table(f"raw/{source.name}__rejected")
    where = {DAY: days} if days else None
    fingerprint = "" if days else _fingerprint(source, [path for _, path in paths])
    if fingerprint and all(_fingerprint_of(table) == fingerprint for table in (accepted, rejected)):
        extra = json.loads(accepted.commit_metadata()[EXTRA_COLUMNS])
        return Landed(None, accepted.scan().rows(), *_refused(rejected, where, engine), tuple(extra), len(paths))
    with engine.connect("UTC") as connection:
        with _readable(source):
            types = _prepare(connection, source, _described(connection, source, paths), landing, timezone, left_out)
            if not source.may_be_empty:
                _refuse_empty(connection, source, paths)
        extra = sorted(set(types) - set(source.columns))
        facts = {FINGERPRINT: fingerprint, EXTRA_COLUMNS: json.dumps(extra)}
        now = f"TIMESTAMPTZ '{datetime.now(UTC).isoformat()}' AS _ingested_at"
        columns = ", ".join(identifier(name) for name in source.columns)

        def write(table: LakeTable, select: str, reason: str) -> Written:
            day = f"{DAY}, " if days else ""
            rows = connection.sql(f"SELECT {day}{select}, _source_file, {now} FROM explained WHERE _reason IS {reason}")
            batches = streamed(rows, engine.batch_rows, partial(_unreadable, source))
            return Target(table, where, (DAY,) if days else (), facts).write(batches)

        write(rejected, f"_reason AS reason, {contract.original_sql(types)} AS row", "NOT NULL")
        failpoint("raw.between_rejected_and_accepted")
        written = write(accepted, columns, "NULL")
    return Landed(written, written.rows, *_refused(rejected, where, engine), tuple(extra), len(paths))


def _described(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: Sequence[tuple[date | None, Path]]
) -> list[LandedFile]:
    """The files with their columns; a missing one is found file by file, because the union of all would hide it.

    A line of NDJSON may leave out a key that has no value, so there only columns that are never empty can be missing.
    """
    files = []
    for day, path in paths:
        columns = columns_of(connection, path, source.format)
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


def _refuse_empty(
    connection: duckdb.DuckDBPyConnection, source: Source, paths: Sequence[tuple[date | None, Path]]
) -> None:
    """Day by day, because the rows of the other days of a range would hide that one has none."""
    sql = f"SELECT DISTINCT day FROM days WHERE path IN (SELECT {PATH} FROM landed)"
    filled = set(connection.sql(sql).to_arrow_table().column("day").to_pylist())
    if empty := [path for day, path in paths if day not in filled]:
        raise InputError(
            f"raw/{source.name}: the landed files hold no row ({', '.join(map(str, empty[:3]))}). {KEPT}",
            hint="Ask the upstream system to deliver again, or declare may_be_empty=True if that is normal.",
        )


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    files: Sequence[LandedFile],
    landing: Path,
    timezone: str,
    left_out: Mapping[str, PersonHashes],
) -> Mapping[str, str]:
    """Make the view `explained`: every landed row, typed, with `_reason`, null for an accepted one.

    It is a view, not a table, so that memory does not grow with what has landed; reading the files twice costs less
    than keeping them. Rows are numbered and ranked only where a key has copies, because that reads one file at a time.

    Returns:
        The landed columns with DuckDB's names of their types.
    """
    landed, types = landed_sql(files, source)
    connection.execute(f"CREATE VIEW landed AS {landed}")
    connection.execute("CREATE TABLE days (path VARCHAR, day DATE, label VARCHAR)")
    if files:
        rows = [(str(file.path), file.day, file.path.relative_to(landing).as_posix()) for file in files]
        connection.executemany("INSERT INTO days VALUES (?, ?, ?)", rows)
    connection.execute(f"CREATE VIEW judged AS {contract.judged_sql(source, types, timezone, numbered=False)}")
    reason = "_broken"
    if connection.sql(contract.has_copies_sql(source)).to_arrow_table().num_rows:
        connection.execute(
            f"CREATE OR REPLACE VIEW judged AS {contract.judged_sql(source, types, timezone, numbered=True)}"
        )
        connection.execute(f"CREATE TABLE copies AS {contract.copies_sql(source)}")
        reason = contract.reason_sql(source)
    erased = _erased(connection, left_out, types)
    connection.execute(f"CREATE VIEW explained AS SELECT *, {reason} AS _reason FROM judged WHERE {erased} IS NOT TRUE")
    return types


def _erased(
    connection: duckdb.DuckDBPyConnection, left_out: Mapping[str, PersonHashes], types: Mapping[str, str]
) -> str:
    """SQL over `judged` that is true for rows of persons who were erased, as they landed, well-formed or not."""
    conditions = []
    for column, subjects in left_out.items():
        if column in types:
            connection.execute(f"SET VARIABLE {SECRET} = {literal(subjects.secret)}")
            conditions.append(subjects.condition([f"_landed.{identifier(column)}"], f"getvariable('{SECRET}')"))
    return f"({' OR '.join(conditions) or 'false'})"


def _refused(
    rejected: LakeTable, where: Where | None, engine: DuckDBEngine
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
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, EOFError, UnicodeError, csv.Error, ValueError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Source, error: Exception) -> InputError:
    return InputError(
        f"raw/{source.name}: the landed files cannot be read as {source.format}: {plain(error)} {KEPT}",
        hint="Ask the upstream system to deliver the file named again.",
    )
