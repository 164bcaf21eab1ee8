"""A source's contract as SQL: which landed value becomes which typed value, and why a row is refused.

Here: expressions over one landed row, and the key's rule over rows. Not here: the words of the contract
(catalog/spec.py), the files (files.py), or where rows go (ingest.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.catalog.columns import SQL_TYPES, Column, identifier, literal
from serving_assets.catalog.spec import DAY, Source
from serving_assets.engines.protocol import FILE_OF_ROW
from serving_assets.landing.files import TEXT

WHOLE = r"\s*[+-]?[0-9]+(\.0*)?\s*"
"""A whole number as text; 1.5 must be refused where a cast would round it."""
DATED = r"\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
"""A date or timestamp as text, in the order of ISO 8601; a cast alone would take 'infinity'."""


def judged_sql(source: Source, types: Mapping[str, str], timezone: str, *, numbered: bool) -> str:
    """SQL over `landed` and `days`: typed columns, `_source_file`, `_line`, `_broken`, and the landed row as `_landed`.

    `_broken` tells every rule that the row breaks, null for none. `_line` counts the rows where `numbered`, which
    forbids reading files in parallel; otherwise it is zero. `_landed` is a struct.
    """
    columns = ", ".join(
        f"{_typed(name, column, types.get(name))} AS {identifier(name)}" for name, column in source.columns.items()
    )
    rules = [rule for name, column in source.columns.items() for rule in _rules(source, name, column, types.get(name))]
    rules += _day_rule(source, timezone)
    landed = ", ".join(f"{literal(name)}: l.{identifier(name)}" for name in types)
    line = "row_number() OVER ()" if numbered else "CAST(0 AS BIGINT)"
    return f"""
        SELECT *, nullif(concat_ws('; ', {", ".join(rules)}), '') AS _broken
        FROM (
            SELECT d.day AS {DAY}, d.label AS _source_file, l._line, {{{landed}}} AS _landed, {columns}
            FROM (SELECT *, {line} AS _line FROM landed) AS l JOIN days AS d ON d.path = l.{FILE_OF_ROW}
        )
    """


def copies_sql(source: Source) -> str:
    """SQL over `judged`: the `_line` of every row but one of each key and day, which keeps the rules if any does."""
    key = _key(source)
    return f"""
        SELECT _line FROM judged
        QUALIFY row_number() OVER (PARTITION BY {DAY}, {key} ORDER BY _broken IS NOT NULL, _line) > 1
    """


def has_copies_sql(source: Source) -> str:
    """SQL over `judged` that returns a row where a key of a day occurs more than once."""
    return f"SELECT 1 FROM judged GROUP BY {DAY}, {_key(source)} HAVING count(*) > 1 LIMIT 1"


def reason_sql(source: Source) -> str:
    """SQL over `judged` and `copies`: why the row is refused, null for an accepted one."""
    said = literal(f"a second row of its key ({', '.join(source.key)})")
    return f"coalesce(_broken, CASE WHEN _line IN (SELECT _line FROM copies) THEN {said} END)"


def original_sql(types: Mapping[str, str]) -> str:
    """SQL over `judged`: the landed row as JSON, in which NaN and the infinities, no numbers there, are text."""
    pairs = []
    for name, landed in types.items():
        value = f"_landed.{identifier(name)}"
        if landed in ("FLOAT", "DOUBLE"):
            value = f"CASE WHEN isfinite({value}) THEN to_json({value}) ELSE to_json(CAST({value} AS {TEXT})) END"
        pairs.append(f"{literal(name)}: {value}")
    return f"CAST(to_json({{{', '.join(pairs)}}}) AS {TEXT})"


def _key(source: Source) -> str:
    return ", ".join(identifier(name) for name in source.key)


def _typed(name: str, column: Column, landed: str | None) -> str:
    """SQL of the column in its declared type: null where it cannot be without changing what it says."""
    wanted = SQL_TYPES[column.dtype]
    if landed is None:
        return f"CAST(NULL AS {wanted})"
    value = f"l.{identifier(name)}"
    cast = f"TRY_CAST({value} AS {wanted})"
    if landed == wanted or column.dtype in ("string", "float32", "float64"):
        return cast
    if landed == TEXT:
        return _typed_text(value, cast, column)
    if column.dtype == "timestamp":
        return cast
    return f"CASE WHEN TRY_CAST({cast} AS {landed}) = {value} THEN {cast} END"


def _typed_text(value: str, cast: str, column: Column) -> str:
    match column.dtype:
        case "int32" | "int64":
            return f"CASE WHEN regexp_full_match({value}, '{WHOLE}') THEN {cast} END"
        case "date":  # a time of day is kept by no date, so only midnight may be left out
            whole = f"TRY_CAST({value} AS TIMESTAMP) = {cast}"
            return f"CASE WHEN regexp_full_match({value}, '{DATED}') AND {whole} THEN {cast} END"
        case "timestamp":
            return f"CASE WHEN regexp_full_match({value}, '{DATED}') THEN {cast} END"
    return cast


def _rules(source: Source, name: str, column: Column, landed: str | None) -> list[str]:
    """SQL expressions over a typed row, each the reason why it is refused, or null."""
    typed = identifier(name)
    given = f"_landed.{typed}" if landed else "NULL"
    rules = []
    if landed not in (None, SQL_TYPES[column.dtype]):
        rules.append(_rule(f"{given} IS NOT NULL AND {typed} IS NULL", f"{name} is not {column.dtype}"))
    if source.never_empty(name):
        rules.append(_rule(f"{given} IS NULL", f"{name} is empty"))
    if column.dtype in ("float32", "float64", "date", "timestamp"):
        rules.append(_rule(f"NOT isfinite({typed})", f"{name} is not finite"))
    if violation := column.bounds.violation_sql(typed):
        rules.append(_rule(violation, f"{name} is outside {column.bounds}"))
    return rules


def _rule(broken: str, reason: str) -> str:
    return f"CASE WHEN {broken} THEN {literal(reason)} END"


def _day_rule(source: Source, timezone: str) -> list[str]:
    if source.delivery != "daily":
        return []
    assert source.event_time is not None
    event = identifier(source.event_time)
    local = f"timezone('{timezone}', {event})" if source.columns[source.event_time].dtype == "timestamp" else event
    said = f"{literal(f'{source.event_time} is of ')} || CAST({local} AS DATE) || ', outside the partition'"
    return [f"CASE WHEN CAST({local} AS DATE) <> {DAY} THEN {said} END"]
