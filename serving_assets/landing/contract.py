"""A source's contract as SQL: which rows keep it, and why the others are quarantined.

Here: the rules over one landed row, and the key's rule over rows. Not here: the contract's declaration
(catalog/sources.py), values and their types (casts.py), the files (files.py), or where rows go (ingest.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving_assets.catalog.columns import SQL_TYPES, Column, identifier, literal
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import FILE_OF_ROW
from serving_assets.landing.casts import ABBREVIATION, TEXT, typed, zone_of


@dataclass(frozen=True)
class LandedRelation:
    """Landed files with the same columns: the name under which a query reads them, and DuckDB's type of each column."""

    name: str
    types: Mapping[str, str]


def judged_sql(
    source: Source,
    relations: Sequence[LandedRelation],
    timezone: str,
    erased: Mapping[str, PersonHashes],
    *,
    numbered: bool,
) -> str:
    """SQL over `relations` and `files`: every landed row in its declared types, and what is known of it.

    Beside the declared columns it has `day`, `_source_file`, `_rank` of the file (the newest has the highest), `_row`
    (the landed row as JSON), `_broken` (every rule that the row breaks, null for none), `_erased` (whether it is of a
    person who was erased, known by columns as they landed) and, where `numbered`, `_line`: its number over all rows,
    which is the same in each query that reads in order, and forbids reading files in parallel.
    """
    branches = [_judged(source, relation, timezone, erased) for relation in relations] or [_nothing(source)]
    line = ", row_number() OVER () AS _line" if numbered else ""
    return f"SELECT *{line} FROM ({' UNION ALL BY NAME '.join(branches)})"


def copies_sql(source: Source, judged: str) -> str:
    """SQL over `judged` rows with numbers: the `_line` of every row that another one of its key replaces, and `why`.

    A row that breaks a rule replaces none.
    """
    key = f"PARTITION BY {DAY}, {_columns(source.key)}"
    named = ", ".join(source.key)
    if source.same_key == "refuse":
        sound = f"SELECT *, count(*) OVER ({key}) AS _rows FROM ({judged}) WHERE _broken IS NULL"
        why = literal(f"one of several rows of its key ({named})")
        return f"SELECT _line, {why} AS why FROM ({sound}) WHERE _rows > 1"
    order, age = ("DESC", "newer") if source.same_key == "newest_file" else ("ASC", "older")
    first = f"OVER ({key} ORDER BY _broken IS NOT NULL, _rank {order}, _line)"
    ranked = f"""
        SELECT _line, row_number() {first} AS _place, _source_file, first_value(_source_file) {first} AS _from
        FROM ({judged})
    """
    other = literal(f"a row of its key ({named}) is in the {age} file ")
    why = (
        f"CASE WHEN _from = _source_file THEN {literal(f'a second row of its key ({named})')} ELSE {other} || _from END"
    )
    return f"SELECT _line, {why} AS why FROM ({ranked}) WHERE _place > 1"


def has_copies_sql(source: Source, judged: str) -> str:
    """SQL over `judged` rows that returns a row where a key of a day occurs more than once."""
    return f"SELECT 1 FROM ({judged}) GROUP BY {DAY}, {_columns(source.key)} HAVING count(*) > 1 LIMIT 1"


def explained_sql(judged: str, *, copies: bool) -> str:
    """SQL over `judged` rows, and over `copies` where there are some: with `_reason`, null for an accepted row.

    Rows of persons who were erased are left out.
    """
    reason, replaced = ("_broken", "")
    if copies:
        reason, replaced = "coalesce(j._broken, c.why)", "LEFT JOIN copies AS c ON c._line = j._line"
    return f"SELECT j.*, {reason} AS _reason FROM ({judged}) AS j {replaced} WHERE j._erased IS NOT TRUE"


def _judged(source: Source, relation: LandedRelation, timezone: str, erased: Mapping[str, PersonHashes]) -> str:
    types = relation.types
    columns = ", ".join(
        f"{_typed(source, name, column, types)} AS {identifier(name)}" for name, column in source.columns.items()
    )
    rules = [rule for name, column in source.columns.items() for rule in _rules(source, name, column, types.get(name))]
    rules += _day_rule(source, timezone)
    landed = ", ".join(f"{literal(name)}: l.{identifier(name)}" for name in types)
    persons = [
        hashes.condition([_key_text(name, types[name], hashes)]) for name, hashes in erased.items() if name in types
    ]
    return f"""
        SELECT {DAY}, _source_file, _rank, {_columns(source.columns)}, {_original(types)} AS _row,
            nullif(concat_ws('; ', {", ".join(rules)}), '') AS _broken, {" OR ".join(persons) or "false"} AS _erased
        FROM (
            SELECT f.day AS {DAY}, f.label AS _source_file, f.rank AS _rank, {{{landed}}} AS _landed, {columns}
            FROM {identifier(relation.name)} AS l JOIN files AS f ON f.path = l.{FILE_OF_ROW}
        )
    """


def _nothing(source: Source) -> str:
    """No row, with all columns: where every file is without content."""
    own = {DAY: "DATE", "_source_file": TEXT, "_rank": "BIGINT", "_row": TEXT, "_broken": TEXT, "_erased": "BOOLEAN"}
    types = {**own, **{name: SQL_TYPES[column.dtype] for name, column in source.columns.items()}}
    return f"SELECT {', '.join(f'CAST(NULL AS {of}) AS {identifier(name)}' for name, of in types.items())} WHERE false"


def _key_text(name: str, landed: str, hashes: PersonHashes) -> str:
    """The value of a person's key as it landed, well-formed or not."""
    value = f"_landed.{identifier(name)}"
    return typed(value, landed, "string") if landed in ("BLOB", "JSON") or hashes.dtype == "string" else value


def _original(types: Mapping[str, str]) -> str:
    """The landed row as JSON, in which NaN and the infinities, no numbers there, are text."""
    pairs = []
    for name, landed in types.items():
        value = f"_landed.{identifier(name)}"
        if landed in ("FLOAT", "DOUBLE"):
            value = f"CASE WHEN isfinite({value}) THEN to_json({value}) ELSE to_json(CAST({value} AS {TEXT})) END"
        elif landed == "BLOB":
            value = f"coalesce(TRY(decode({value})), CAST({value} AS {TEXT}))"
        pairs.append(f"{literal(name)}: {value}")
    return f"CAST(to_json({{{', '.join(pairs)}}}) AS {TEXT})"


def _columns(names: Sequence[str] | Mapping[str, Column]) -> str:
    return ", ".join(identifier(name) for name in names)


def _typed(source: Source, name: str, column: Column, types: Mapping[str, str]) -> str:
    if name not in types:
        return f"CAST(NULL AS {SQL_TYPES[column.dtype]})"
    of_json = source.format == "ndjson"
    return typed(f"l.{identifier(name)}", types[name], column.dtype, source.csv.decimal, of_json=of_json)


def _rules(source: Source, name: str, column: Column, landed: str | None) -> list[str]:
    """SQL expressions over a typed row, each the reason why it is quarantined, or null."""
    value = identifier(name)
    given = f"_landed.{value}" if landed else "NULL"
    rules = []
    if landed not in (None, SQL_TYPES[column.dtype]):
        rules.append(_type_rule(name, column, landed, f"{given} IS NOT NULL AND {value} IS NULL"))
    if source.never_empty(name):
        rules.append(_rule(f"{given} IS NULL", f"{name} is empty"))
    if column.dtype in ("float32", "float64", "date", "timestamp"):
        rules.append(_rule(f"NOT isfinite({value})", f"{name} is not finite"))
    if violation := column.bounds.violation_sql(value):
        rules.append(_rule(violation, f"{name} is outside {column.bounds}"))
    return rules


def _type_rule(name: str, column: Column, landed: str | None, broken: str) -> str:
    plain = literal(f"{name} is not {column.dtype}")
    if column.dtype != "timestamp" or landed != TEXT:
        return f"CASE WHEN {broken} THEN {plain} END"
    zone = zone_of(f"_landed.{identifier(name)}")
    why = literal(f"{name} is not timestamp: the time zone ")
    several = literal(" is an abbreviation; an offset or an IANA name is one zone")
    abbreviated = f"CASE WHEN regexp_full_match({zone}, '{ABBREVIATION}') THEN {why} || {zone} || {several}"
    return f"CASE WHEN {broken} THEN {abbreviated} ELSE {plain} END END"


def _rule(broken: str, reason: str) -> str:
    return f"CASE WHEN {broken} THEN {literal(reason)} END"


def _day_rule(source: Source, timezone: str) -> list[str]:
    if source.delivery != "daily":
        return []
    assert source.event_time is not None
    event = identifier(source.event_time)
    local = f"timezone('{timezone}', {event})" if source.columns[source.event_time].dtype == "timestamp" else event
    reason = f"{literal(f'{source.event_time} is of ')} || CAST({local} AS DATE) || ', outside the partition'"
    return [f"CASE WHEN CAST({local} AS DATE) <> {DAY} THEN {reason} END"]
