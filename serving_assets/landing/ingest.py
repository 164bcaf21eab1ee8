"""Turn landed files into typed rows, and keep apart, with the reason, those that break the source's contract.

Here: which files belong to a landing, accepted and quarantined rows, and what is reported of them. Not here: the
formats (files.py), the contract (contract.py), or what is done about a share of rejected rows (pipeline/checks/).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.names import layer_table, quarantine_table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import PART_OF, Engine, Files, Input, Part, Query, Rows, Target
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import DayRange, Lake, LakeTable, Where, Written
from serving_assets.landing import contract
from serving_assets.landing.deliveries import Deliveries, files_table, find_deliveries, prove_read, readable_files
from serving_assets.landing.files import LandedFile, relations_of
from serving_assets.landing.zone import LandingZone

FINGERPRINT = "landed_fingerprint"
EXTRA_COLUMNS = "landed_extra_columns"
NO_PERSON: Mapping[str, PersonHashes] = {}
EMPTY = "it is empty"
SHOWN_OF_A_ROW = 1_000
"""Characters of a rejected row that are shown as an example; the table keeps all of it."""


@dataclass(frozen=True)
class Landed:
    """What one landing became: rows written, quarantined rows by reason, undeclared columns, and unread files.

    `unread` has the path of each file that was not read, and why. `accepted` is None when the files and the contract
    were those of the last landing, so that nothing was written.
    """

    accepted: Written | None
    rows: int
    rejected: int
    reasons: dict[str, int]
    examples: tuple[dict[str, Any], ...]
    extra_columns: tuple[str, ...]
    files: int
    unread: tuple[tuple[str, str], ...] = ()


def ingest(
    source: Source,
    zone: LandingZone,
    days: DayRange | None,
    lake: Lake,
    engine: Engine,
    timezone: str,
    left_out: Mapping[str, PersonHashes] = NO_PERSON,
) -> Landed:
    """Replace the partitions `days` (or the whole snapshot) of `raw/<source>` and of its rejects by what has landed.

    Rows of persons who were erased, `left_out` by column, go into neither.

    A snapshot whose files and contract are those of the last landing is left as it is. Rejected rows are written first:
    a kill between the two writes leaves the accepted rows at their old version, never a loss.

    Raises:
        InputError: when files are missing, unreadable, empty without leave, or lack a declared column. Nothing is
            written then.
        ConflictError: when a file is written anew while it is read.
    """
    deliveries = find_deliveries(source, zone, days)
    raw_table = layer_table("raw", source.name)
    accepted, rejected = lake.table(raw_table), lake.table(quarantine_table(raw_table))
    where = {DAY: days} if days else None
    with readable_files(source, zone, deliveries, engine) as files:
        unread = _unread(source, deliveries, files)
        fingerprint = "" if days else _fingerprint(source, files)
        if fingerprint and all(_fingerprint_of(table) == fingerprint for table in (accepted, rejected)):
            extra = json.loads(accepted.commit_metadata()[EXTRA_COLUMNS])
            counts = (accepted.scan().rows(), *_refused(rejected, where, engine))
            return Landed(None, *counts, tuple(extra), len(files), unread)
        total, rows, extra = _judged(engine, source, files, timezone, left_out)
        facts = {FINGERPRINT: fingerprint, EXTRA_COLUMNS: json.dumps(extra)}
        now = f"TIMESTAMPTZ '{datetime.now(UTC).isoformat()}' AS _ingested_at"

        def part(table: LakeTable, select: str, reason: str) -> Part:
            day = f"{DAY}, " if days else ""
            sql = f"SELECT {day}{select}, _source_file, {now} FROM {PART_OF} WHERE _reason IS {reason}"
            return Part(sql, Target(table, where, (DAY,) if days else (), facts))

        kept_apart, written = engine.land(
            rows,
            part(rejected, "_reason AS reason, _row AS row", "NOT NULL"),
            part(accepted, ", ".join(identifier(name) for name in source.columns), "NULL"),
        )
    if (stored := kept_apart.rows + written.rows) != total:
        raise ServingAssetsError(
            f"raw/{source.name}: of {total:,} landed rows {stored:,} were written.",
            hint="Report it: this is a defect of serving-assets.",
        )
    return Landed(written, written.rows, *_refused(rejected, where, engine), tuple(extra), len(files), unread)


def _unread(source: Source, deliveries: Deliveries, files: Sequence[LandedFile]) -> tuple[tuple[str, str], ...]:
    """The path below the landing zone of each file that gives no row whatever it holds, and why."""
    listed = [(f"{source.name}/{path}", why) for _, delivery in deliveries for path, why in delivery.unread]
    return (*listed, *((file.label, EMPTY) for file in files if file.columns is None))


def _judged(
    engine: Engine,
    source: Source,
    files: Sequence[LandedFile],
    timezone: str,
    left_out: Mapping[str, PersonHashes],
) -> tuple[int, Query, list[str]]:
    """How many rows go into the two tables; the query of all of them with `_reason`; and the undeclared columns.

    The files are read anew by each query, so that memory does not grow with what has landed: reading them twice costs
    less than keeping them. Rows are numbered and ranked only where a key has copies, because that reads one file at a
    time.
    """
    found, relations = relations_of(files, source)
    inputs: dict[str, Files | Rows] = {**found, "files": files_table(files)}
    total = prove_read(source, files, inputs, relations, engine)
    landed = {name for relation in relations for name in relation.types}
    persons = {name: hashes for name, hashes in left_out.items() if name in landed}
    secret = {"secret": next(iter(persons.values())).secret} if persons else {}
    judged = partial(contract.judged_sql, source, relations, timezone)
    rows = Query("", inputs, secret, in_order=True)
    if persons:
        erased = f"SELECT count(*) AS n FROM ({judged(persons, numbered=False)}) WHERE _erased"
        total -= engine.collect(replace(rows, sql=erased)).column("n")[0].as_py()
    plain = replace(rows, parameters={})
    numbered = (
        engine.collect(replace(plain, sql=contract.has_copies_sql(source, judged({}, numbered=False)))).num_rows > 0
    )
    if numbered:
        copies = engine.collect(replace(plain, sql=contract.copies_sql(source, judged({}, numbered=True))))
        inputs["copies"] = Rows(copies)
    explained = contract.explained_sql(judged(persons, numbered=numbered), copies=numbered)
    return total, replace(rows, sql=explained), sorted(landed - set(source.columns))


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


def _fingerprint(source: Source, files: Sequence[LandedFile]) -> str:
    """Of the files and of the declaration, because another contract makes other rows of the same files."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    for file in sorted(files, key=lambda file: file.label):
        with file.path.open("rb") as content:
            digest.update(f"{file.label}:{hashlib.file_digest(content, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def _fingerprint_of(table: LakeTable) -> str | None:
    return table.commit_metadata().get(FINGERPRINT) if table.exists() else None
