"""Turn landed files into typed rows, and keep apart, with the reason, those that break the source's contract.

Here: finding and reading files, the contract as SQL, accepted and rejected rows. Not here: the contract itself
(catalog/spec.py), or what is done about a share of rejected rows (pipeline/checks/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving_assets.catalog.columns import SQL_TYPES, Column
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.duckdb_engine import DuckDBEngine
from serving_assets.engines.query import Target
from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.lake import DayRange, Lake, Written

if TYPE_CHECKING:
    import duckdb

SUFFIXES = {"parquet": (".parquet",), "csv": (".csv", ".csv.gz"), "ndjson": (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")}
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN"}
FINGERPRINT = "landed_fingerprint"
KEPT = "The partition keeps its previous content."


@dataclass(frozen=True)
class Landed:
    """What one landing became: rows written, rows kept apart by reason, and columns that nobody declared."""

    accepted: Written | None
    rows: int
    rejected: int
    reasons: dict[str, int]
    examples: tuple[dict[str, Any], ...]
    extra_columns: tuple[str, ...]
    files: int

    @property
    def unchanged(self) -> bool:
        """Whether the files were those of the last landing, so that nothing was written."""
        return self.accepted is None


def find_files(source: Source, landing: Path, days: DayRange | None) -> list[tuple[date | None, Path]]:
    """The landed files of a snapshot (`days` None) or of a range of days, with the day each belongs to.

    Hidden names and names that begin with an underscore are files that are still being written.

    Raises:
        InputError: when nothing has landed for the snapshot, or for a day of a source that may not be empty.
    """
    found: list[tuple[date | None, Path]] = []
    for day in days.days() if days else [None]:
        folder = landing / source.name / f"dt={day}" if day else landing / source.name
        files = sorted(p for p in folder.glob("*") if p.name.endswith(SUFFIXES[source.format]) and p.name[0] not in "._")
        if not files and not (source.may_be_empty and folder.parent.is_dir()):
            raise InputError(
                f"raw/{source.name}: no {source.format} file has landed in {folder}. {KEPT}",
                mend="Ask the upstream system for it, or declare may_be_empty=True if such days are normal.",
            )
        found += [(day, file) for file in files]
    return found


def ingest(source: Source, landing: Path, days: DayRange | None, lake: Lake, engine: DuckDBEngine, timezone: str) -> Landed:
    """Replace the partitions `days` (or the whole snapshot) of `raw/<source>` and of its rejects by what has landed.

    A snapshot whose files are those of the last landing is left as it is.

    Raises:
        InputError: when files are missing, unreadable, empty without leave, or lack a declared column. Nothing is written then.
    """
    files = find_files(source, landing, days)
    table = lake.table(f"raw/{source.name}")
    fingerprint = _fingerprint(path for _, path in files) if days is None else ""
    if days is None and table.exists() and table.commit_metadata().get(FINGERPRINT) == fingerprint:
        return Landed(None, sum(file.rows for file in table.scan().files()), 0, {}, (), (), len(files))
    with engine.connect("UTC") as connection:
        extra = _stage(connection, source, landing, files, timezone)
        counts = connection.sql("SELECT count(*), count(_reason) FROM staged").to_arrow_table().to_pydict()
        total, rejected = (values[0] for values in counts.values())
        if total == 0 and not source.may_be_empty:
            raise InputError(
                f"raw/{source.name}: the landed files hold no row ({_names(files)}). {KEPT}",
                mend="Ask the upstream system to deliver again, or declare may_be_empty=True if that is normal.",
            )
        reasons = connection.sql(
            "SELECT _reason, count(*) AS n FROM staged WHERE _reason IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 20"
        ).to_arrow_table()
        examples = connection.sql(
            f"SELECT _reason AS reason, _source_file AS file, _row AS row FROM staged WHERE _reason IS NOT NULL "
            f"ORDER BY {DAY}, _line LIMIT 10"
        ).to_arrow_table()
        accepted = _write(connection, source, days, lake, engine.batch_rows, fingerprint)
    tally = dict(zip(*reasons.to_pydict().values(), strict=True))
    return Landed(accepted, total - rejected, rejected, tally, tuple(examples.to_pylist()), extra, len(files))


def _write(
    connection: duckdb.DuckDBPyConnection, source: Source, days: DayRange | None, lake: Lake, batch_rows: int, fingerprint: str
) -> Written:
    """Rejected rows first: a kill between the two leaves the accepted partition at its old version, never a loss."""
    day = f"{DAY}, " if days else ""
    where = {DAY: days} if days else None
    partition_by = (DAY,) if days else ()
    ingested_at = f"TIMESTAMPTZ '{datetime.now(UTC).isoformat()}' AS _ingested_at"
    columns = ", ".join(f'"{name}"' for name in source.columns)

    def write(name: str, sql: str, metadata: dict[str, str]) -> Written:
        target = Target(lake.table(name), where, partition_by, metadata)
        return target.write(connection.sql(sql).to_arrow_reader(batch_rows))

    write(
        f"raw/{source.name}__rejected",
        f"SELECT {day}_reason AS reason, _row AS row, _source_file, {ingested_at} FROM staged WHERE _reason IS NOT NULL",
        {},
    )
    failpoint("raw.between_rejected_and_accepted")
    return write(
        f"raw/{source.name}",
        f"SELECT {day}{columns}, _source_file, {ingested_at} FROM staged WHERE _reason IS NULL",
        {FINGERPRINT: fingerprint},
    )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    landing: Path,
    files: Sequence[tuple[date | None, Path]],
    timezone: str,
) -> tuple[str, ...]:
    """Make the table `staged`: typed columns, `day`, `_source_file`, `_line`, `_reason` (null: accepted), `_row` (the original).

    Returns the names of the columns that the contract does not know.
    """
    import duckdb

    filled = [(day, path) for day, path in files if path.stat().st_size > 0]
    if not filled:
        nothing = ", ".join(f'CAST(NULL AS {SQL_TYPES[c.dtype]}) AS "{name}"' for name, c in source.columns.items())
        connection.execute(
            f"CREATE TABLE staged AS SELECT NULL::DATE AS {DAY}, ''::VARCHAR AS _source_file, 0::BIGINT AS _line, "
            f"NULL::VARCHAR AS _reason, NULL::VARCHAR AS _row, {nothing} WHERE false"
        )
        return ()
    try:
        _refuse_missing_columns(connection, source, [path for _, path in filled])
        connection.execute("CREATE TABLE days (filename VARCHAR, day DATE, label VARCHAR)")
        connection.executemany(
            "INSERT INTO days VALUES (?, ?, ?)", [(str(p), d, p.relative_to(landing).as_posix()) for d, p in filled]
        )
        connection.execute(f"CREATE VIEW landed AS SELECT * FROM {_reader(source, [path for _, path in filled])}")
        landed = connection.sql("SELECT * FROM landed")
        types = {name: str(sql_type) for name, sql_type in zip(landed.columns, landed.types, strict=True)}
        types.pop("filename")
        if missing := [name for name in source.columns if name not in types]:
            raise _missing(source, missing, types, filled[0][1])
        with_copies = connection.sql(_copies_sql(source, types)).to_arrow_table().num_rows > 0
        connection.execute(_staging_sql(source, types, timezone, with_copies=with_copies))
    except duckdb.Error as error:
        raise InputError(
            f"raw/{source.name}: the landed files cannot be read as {source.format}: {error} {KEPT}",
            mend="Ask the upstream system to deliver the file named again.",
        ) from error
    return tuple(sorted(set(types) - set(source.columns)))


def _reader(source: Source, paths: Sequence[Path]) -> str:
    listed = "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
    shared = "union_by_name = true, filename = true, hive_partitioning = false"
    match source.format:
        case "parquet":
            return f"read_parquet({listed}, {shared})"
        case "csv":
            return f"read_csv({listed}, {shared}, header = true, all_varchar = true)"
        case "ndjson":
            return f"read_json({listed}, {shared}, format = 'newline_delimited', sample_size = -1)"


def _refuse_missing_columns(connection: duckdb.DuckDBPyConnection, source: Source, paths: Sequence[Path]) -> None:
    """File by file, because the union over all files would hide that one of them lacks a column.

    A line of NDJSON may leave out a key that has no value, so there only the union can be judged.
    """
    for path in paths if source.format != "ndjson" else ():
        if source.format == "parquet":
            relation = connection.sql("SELECT name FROM parquet_schema($path)", params={"path": str(path)})
            found = relation.to_arrow_table().column("name").to_pylist()[1:]
        else:
            found = connection.sql(
                "SELECT * FROM read_csv($path, header = true, all_varchar = true) LIMIT 0", params={"path": str(path)}
            ).columns
        if missing := [name for name in source.columns if name not in found]:
            raise _missing(source, missing, found, path)


def _missing(source: Source, missing: Iterable[str], found: Iterable[str], path: Path) -> InputError:
    unknown = [name for name in found if name not in source.columns]
    hint = f" It has {', '.join(unknown)}, which nobody declared: renamed?" if unknown else ""
    return InputError(
        f"raw/{source.name}: {path} lacks the column {', '.join(missing)}.{hint} {KEPT}",
        mend="Ask the upstream system to deliver again, or change the source's declaration if the change is meant.",
    )


def _staging_sql(source: Source, types: dict[str, str], timezone: str, *, with_copies: bool) -> str:
    """SQL of `staged`. Ranking the rows of a key costs a sort of everything, so it is only done where a key has copies."""
    typed = ", ".join(f'{_typed(name, c, types[name])} AS "{name}"' for name, c in source.columns.items())
    rules = [rule for name, column in source.columns.items() for rule in _rules(source, name, column, types[name])]
    rules += _partition_rule(source, timezone)
    key = ", ".join(f'"{name}"' for name in source.key)
    reason = "_broken"
    if with_copies:
        rank = f"row_number() OVER (PARTITION BY {DAY}, {key} ORDER BY _broken IS NOT NULL, _line)"
        reason = f"coalesce(_broken, CASE WHEN {rank} > 1 THEN 'a second row of its key ({', '.join(source.key)})' END)"
    original = ", ".join(f"'{name}': l.\"{name}\"" for name in types)
    return f"""
        CREATE TABLE staged AS
        WITH typed AS (
            SELECT d.day AS {DAY}, d.label AS _source_file, row_number() OVER () AS _line, {{{original}}} AS _original, {typed}
            FROM landed AS l JOIN days AS d ON d.filename = l.filename
        ), judged AS (
            SELECT *, nullif(concat_ws('; ', {", ".join(rules)}), '') AS _broken FROM typed
        ), explained AS (
            SELECT *, {reason} AS _reason FROM judged
        )
        SELECT * EXCLUDE (_original, _broken), CASE WHEN _reason IS NOT NULL THEN CAST(to_json(_original) AS VARCHAR) END AS _row
        FROM explained
    """


def _copies_sql(source: Source, types: dict[str, str]) -> str:
    """SQL that returns a row where any key of a day occurs more than once."""
    keys = ", ".join(_typed(name, source.columns[name], types[name]) for name in source.key)
    return f"SELECT 1 FROM landed AS l JOIN days AS d ON d.filename = l.filename GROUP BY d.day, {keys} HAVING count(*) > 1 LIMIT 1"


def _partition_rule(source: Source, timezone: str) -> list[str]:
    if source.delivery != "daily":
        return []
    assert source.event_time is not None
    event = f'"{source.event_time}"'
    local = f"timezone('{timezone}', {event})" if source.columns[source.event_time].dtype == "timestamp" else event
    said = f"'{source.event_time} is of ' || CAST({local} AS DATE) || ', outside the partition'"
    return [f"CASE WHEN CAST({local} AS DATE) <> {DAY} THEN {said} END"]


def _typed(name: str, column: Column, landed: str) -> str:
    """SQL of the column in its declared type, null where it cannot be."""
    cast = f'TRY_CAST(l."{name}" AS {SQL_TYPES[column.dtype]})'
    if column.dtype == "date" and landed.startswith("TIMESTAMP"):
        return f'CAST(l."{name}" AS DATE)'
    if column.dtype in ("int32", "int64") and landed not in INTEGERS:
        return f'CASE WHEN TRY_CAST(l."{name}" AS DOUBLE) = {cast} THEN {cast} END'
    return cast


def _rules(source: Source, name: str, column: Column, landed: str) -> list[str]:
    """SQL expressions over `typed`, each the reason why a row is refused, or null."""
    given = f'_original."{name}"'
    quoted = f'"{name}"'
    rules = []
    if landed != SQL_TYPES[column.dtype]:
        rules.append(
            f"CASE WHEN {given} IS NOT NULL AND {quoted} IS NULL "
            f"THEN '{name} is not {column.dtype}: ' || left(CAST({given} AS VARCHAR), 60) END"
        )
    if column.required or name in source.key or name == source.event_time:
        rules.append(f"CASE WHEN {given} IS NULL THEN '{name} is empty' END")
    if column.dtype in ("float32", "float64"):
        rules.append(f"CASE WHEN NOT isfinite({quoted}) THEN '{name} is not finite' END")
    if violation := column.bounds.violation_sql(quoted):
        low, high = column.bounds.minimum, column.bounds.maximum
        span = f"[{'-inf' if low is None else f'{low:g}'}, {'inf' if high is None else f'{high:g}'}]"
        rules.append(f"CASE WHEN {violation} THEN '{name} is outside {span}: ' || CAST({quoted} AS VARCHAR) END")
    return rules


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def _names(files: Sequence[tuple[date | None, Path]]) -> str:
    return ", ".join(str(path) for _, path in files[:3]) + (" ..." if len(files) > 3 else "") or "no file"
