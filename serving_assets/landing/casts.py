"""A landed value in its declared type, as SQL: the same value, or null.

Here: which physical type can become which declared type, and the proof that the value is kept. Not here: the rules over
a row (contract.py), or how files are read (files.py).

A value is kept when it can be turned back into what landed. So a number is never rounded, cut or made of one that may
have been rounded before: a double beyond 2^53 stands for several integers, and the text of a double is a matter of
taste. Of an instant, what is finer than a microsecond is cut off, in Parquet as in text, so that it stays in its day.
"""

from __future__ import annotations

from collections.abc import Callable

from serving_assets.catalog.columns import SQL_TYPES, DType

TEXT, JSON = "VARCHAR", "JSON"
INTEGERS = {f"{sign}{size}" for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT") for sign in ("", "U")}
EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}
"""Below these, every integer is a number of its own among the floating-point ones."""
DIGITS = {"FLOAT": 6, "DOUBLE": 15}
"""As many decimal digits survive a detour over the type; more only by chance, which is looked at."""
SMALLEST = {"FLOAT": 1e-36, "DOUBLE": 1e-300}
"""Numbers nearer to zero have fewer digits than that."""
NANOSECONDS = {"TIMESTAMP_NS", "TIMESTAMPTZ_NS"}
INSTANTS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", SQL_TYPES["timestamp"], *NANOSECONDS}

WHOLE = r"\s*[+-]?[0-9]+({decimal}0*)?\s*"
NUMBER = r"\s*[+-]?([0-9]+({decimal}[0-9]*)?|{decimal}[0-9]+)([eE][+-]?[0-9]+)?\s*"
NO_NUMBER = r"(?i)\s*[+-]?(nan|inf|infinity)\s*"
TRUE, FALSE = r"(?i)\s*(true|t|yes|y|1)\s*", r"(?i)\s*(false|f|no|n|0)\s*"
DATE = r"\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T]0?0:00(:00(\.0+)?)?\s*(Z|UTC|[+-]00(:?00)?)?)?\s*"
INSTANT = r"^\s*([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?)\s*(.*?)\s*$"
OFFSET = r"[+-]([01][0-9]|2[0-3])(:?[0-5][0-9](:?[0-5][0-9])?)?"
ABBREVIATION = r"[A-Za-z]{1,6}[0-9]?"


def typed(value: str, landed: str, dtype: DType, decimal: str = ".", *, of_json: bool = False) -> str:
    """SQL of `value`, of DuckDB's type `landed`, as `dtype`; null where it would say anything else.

    `decimal` is the decimal sign of numbers in text; `of_json` says that text may be a number of JSON, whose fractions
    have been read as doubles.
    """
    wanted = SQL_TYPES[dtype]
    if landed == wanted:
        return value
    if landed == '"NULL"':
        return f"CAST(NULL AS {wanted})"
    match dtype:
        case "bool":
            return _bool(value, landed)
        case "int32" | "int64":
            return _integer(value, landed, wanted, decimal, of_json=of_json)
        case "float32" | "float64":
            return _float(value, landed, wanted, decimal)
        case "string":
            return _string(value, landed)
        case "date":
            return _date(value, landed)
        case "timestamp":
            return _timestamp(value, landed)


def zone_of(value: str) -> str:
    """SQL of what stands behind the time of day in a text; empty where nothing does."""
    return f"{_parts(value)}.zone"


def _kept(value: str, landed: str, wanted: str) -> str:
    cast = f"TRY_CAST({value} AS {wanted})"
    return f"CASE WHEN TRY_CAST({cast} AS {landed}) = {value} THEN {cast} END"


def _never(wanted: str) -> str:
    return f"CAST(NULL AS {wanted})"


def _is_number(landed: str) -> bool:
    return landed in INTEGERS or landed in EXACT or landed.startswith("DECIMAL")


def _bool(value: str, landed: str) -> str:
    if landed == TEXT:
        yes, no = (f"regexp_full_match({value}, '{pattern}')" for pattern in (TRUE, FALSE))
        return f"CASE WHEN {yes} THEN true WHEN {no} THEN false END"
    return _kept(value, landed, "BOOLEAN") if _is_number(landed) else _never("BOOLEAN")


def _integer(value: str, landed: str, wanted: str, decimal: str, *, of_json: bool) -> str:
    if landed in EXACT:
        return f"CASE WHEN abs({value}) < {EXACT[landed]} THEN {_kept(value, landed, wanted)} END"
    if landed != TEXT:
        return _kept(value, landed, wanted) if landed == "BOOLEAN" or _is_number(landed) else _never(wanted)
    cast = f"TRY_CAST({_plain(value, decimal)} AS {wanted})"
    whole = f"regexp_full_match({value}, '{WHOLE.format(decimal=f'[{decimal}]')}')"
    if of_json:
        whole += f" AND (NOT contains({value}, '.') OR abs({cast}) < {EXACT['DOUBLE']})"
    return f"CASE WHEN {whole} THEN {cast} END"


def _float(value: str, landed: str, wanted: str, decimal: str) -> str:
    if landed == "FLOAT":
        return f"CAST({value} AS {wanted})"
    if landed != TEXT:
        return _kept(value, landed, wanted) if landed == "BOOLEAN" or _is_number(landed) else _never(wanted)
    plain = _plain(value, decimal)
    cast, digits = f"TRY_CAST({plain} AS {wanted})", _digits(plain)
    few = f"length({digits}) <= {DIGITS[wanted]} AND (abs({cast}) >= {SMALLEST[wanted]} OR {digits} = '')"
    same = f"{digits} = {_digits(f'CAST({cast} AS {TEXT})')}"
    number = f"regexp_full_match({value}, '{NUMBER.format(decimal=f'[{decimal}]')}') AND ({few} OR {same})"
    return f"CASE WHEN regexp_full_match({value}, '{NO_NUMBER}') OR ({number}) THEN {cast} END"


def _plain(value: str, decimal: str) -> str:
    return f"trim({value})" if decimal == "." else f"replace(trim({value}), '{decimal}', '.')"


def _digits(text: str) -> str:
    """SQL of the digits that count in a number, without those that only move its point."""
    mantissa = f"replace(regexp_extract({text}, '^[+-]?([0-9.]*)', 1), '.', '')"
    return f"rtrim(ltrim({mantissa}, '0'), '0')"


def _string(value: str, landed: str) -> str:
    if landed == "BLOB":
        return f"TRY(decode({value}))"
    if landed == JSON:
        whole = f"regexp_full_match(CAST({value} AS {TEXT}), '-?[0-9]+')"
        number = f"CASE WHEN {whole} THEN CAST({value} AS {TEXT}) END"
        text = f"WHEN 'VARCHAR' THEN {value} ->> '$' WHEN 'DOUBLE' THEN {number}"
        return f"CASE json_type({value}) {text} ELSE CAST({value} AS {TEXT}) END"
    one_text = landed in INTEGERS | INSTANTS | {"BOOLEAN", "DATE", "TIME", "TIME_NS", "UUID"}
    if not one_text and not landed.startswith("DECIMAL"):
        return _never(TEXT)
    return _kept(value, landed, TEXT)


def _date(value: str, landed: str) -> str:
    if landed == TEXT:
        return f"CASE WHEN regexp_full_match({value}, '{DATE}') THEN TRY_CAST({_parts(value)}.at AS DATE) END"
    return _kept(value, landed, "DATE") if landed in INSTANTS else _never("DATE")


def _timestamp(value: str, landed: str) -> str:
    wanted = SQL_TYPES["timestamp"]
    if landed in NANOSECONDS:
        count = f"epoch_ns({value})"
        return f"make_timestamptz(({count} - (({count} % 1000) + 1000) % 1000) // 1000)"
    if landed in INSTANTS | {"DATE"}:
        return f"TRY_CAST({value} AS {wanted})"
    return _instant_of_text(_parts(value)) if landed == TEXT else _never(wanted)


def _parts(value: str) -> str:
    return f"regexp_extract({value}, '{INSTANT}', ['at', 'zone'])"


def _instant_of_text(parts: str) -> str:
    """SQL of the instant that a text names: in UTC, at an offset, or in a zone with an IANA name.

    An abbreviation names several zones. A local time that the zone skips, or has twice, names no one instant.
    """
    local, zone = f"TRY_CAST({parts}.at AS TIMESTAMP)", f"{parts}.zone"
    digits = f"rpad(regexp_replace({zone}, '[^0-9]', '', 'g'), 6, '0')"
    seconds = " + ".join(
        f"TRY_CAST(substr({digits}, {at}, 2) AS INTEGER) * {of}" for at, of in ((1, 3600), (3, 60), (5, 1))
    )
    offset = f"to_seconds(CASE WHEN starts_with({zone}, '-') THEN -1 ELSE 1 END * ({seconds}))"
    named = f"TRY_CAST({parts}.at || ' ' || {zone} AS {SQL_TYPES['timestamp']})"
    same: Callable[[str], str] = lambda instant: f"timezone({zone}, {instant}) = {local}"  # noqa: E731
    twice = " OR ".join(
        same(f"{named} {sign} INTERVAL {minutes} MINUTE") for sign in "+-" for minutes in (20, 30, 40, 60, 120, 180)
    )
    one = f"CASE WHEN {named} IS NOT NULL THEN CASE WHEN {same(named)} AND NOT ({twice}) THEN {named} END END"
    return f"""CASE
        WHEN {zone} IN ('', 'Z', 'z', 'UTC', 'GMT') THEN timezone('UTC', {local})
        WHEN regexp_full_match({zone}, '{OFFSET}') THEN timezone('UTC', {local} - {offset})
        WHEN contains({zone}, '/') THEN {one}
    END"""
