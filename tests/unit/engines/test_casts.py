"""Rules of values: what is stored can be turned back into what landed, or the row is in quarantine.

Not here: rows and keys (test_contract.py).
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.catalog.columns import SQL_TYPES, DType
from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Engine, Limits, Query, Rows
from serving_assets.landing.casts import typed


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """One engine for all values."""
    return open_engine("duckdb", Limits(1, "200MB", tmp_path_factory.mktemp("scratch"), 1_000))


def stored(engine: Engine, values: pa.Array, dtype: DType, landed: str = "", **options: Any) -> list[Any]:
    """The values as they are stored; `landed` is the type as which the engine reads them, by default Arrow's."""
    rows = {"t": Rows(pa.table({"v": values}))}
    if not landed:
        found = engine.collect(Query("SELECT column_type FROM (DESCRIBE SELECT * FROM t)", rows))
        landed = found.column(0)[0].as_py()
    sql = f"SELECT CAST({typed('v', landed, dtype, **options)} AS {SQL_TYPES[dtype]}) AS v FROM t"
    return engine.collect(Query(sql, rows)).column("v").to_pylist()


naive = datetime.fromisoformat


def at(text: str) -> datetime:
    """An instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


EXACT_DOUBLES = pa.array([2.0**53 - 1, 2.0**53, 2.0**53 + 2, -(2.0**53), 5.5, math.nan, math.inf, -0.0])
TYPED: list[tuple[str, pa.Array, DType, list[Any]]] = [
    ("doubles stand for several integers", EXACT_DOUBLES, "int64", [2**53 - 1, *[None] * 6, 0]),
    ("floats too", pa.array([2.0**24 - 1, 2.0**24], pa.float32()), "int64", [2**24 - 1, None]),
    ("integers beyond 2^53", pa.array([2**53, 2**53 + 1, 2**60]), "float64", [2.0**53, None, 2.0**60]),
    ("integers beyond 2^24", pa.array([2**24, 2**24 + 1]), "float32", [2.0**24, None]),
    ("a double as text", pa.array([733.0, 1.5]), "string", [None, None]),
    ("bytes of UTF-8", pa.array([b"M\xc3\xbcller", b"\xff\xfe", b""]), "string", ["Müller", None, ""]),
    ("decimals", pa.array([Decimal("1.50"), Decimal("2.00")]), "int64", [None, 2]),
    ("decimals of 20 digits", pa.array([Decimal("0.12345678901234567890")]), "float64", [None]),
    ("decimals of money", pa.array([Decimal("19.99")]), "float64", [19.99]),
    ("an overflow", pa.array([2**31, -(2**31)]), "int32", [None, -(2**31)]),
    ("unsigned", pa.array([2**64 - 1, 2**63 - 1], pa.uint64()), "int64", [None, 2**63 - 1]),
    ("a time of day", pa.array([naive("2026-07-20"), naive("2026-07-20T01:00")]), "date", [date(2026, 7, 20), None]),
    ("numbers as bool", pa.array([0, 1, 2, -1]), "bool", [False, True, None, None]),
    ("naive is UTC", pa.array([naive("2026-07-20T10:00")]), "timestamp", [at("2026-07-20T10:00")]),
    (
        "nanoseconds are cut off",
        pa.array([1784591999999999999, -1], pa.timestamp("ns")),
        "timestamp",
        [at("2026-07-20T23:59:59.999999"), at("1969-12-31T23:59:59.999999")],
    ),
    (
        "nanoseconds with a zone too",
        pa.array([1784591999999999999], pa.timestamp("ns", "UTC")),
        "timestamp",
        [at("2026-07-20T23:59:59.999999")],
    ),
]


@pytest.mark.parametrize(("values", "dtype", "expected"), [pytest.param(*case, id=name) for name, *case in TYPED])
def test_a_typed_value_keeps_what_it_says(engine: Engine, values: pa.Array, dtype: DType, expected: list[Any]) -> None:
    """A value of another type is stored only when that type can hold the very same."""
    assert stored(engine, values, dtype) == expected


TEN = at("2026-07-20T10:00")
TEXTS: list[tuple[DType, str, Any]] = [
    *(("timestamp", f"2026-07-20 10:00{zone}", TEN) for zone in ("", "Z", " UTC", "+00:00", " +0000", "+00", " GMT")),
    ("timestamp", "2026-07-20T12:00:00.5+02:00", at("2026-07-20T10:00:00.5")),
    ("timestamp", "2026-07-20 04:30 -05:30", TEN),
    ("timestamp", "2026-07-20 12:00 Europe/Berlin", TEN),
    ("timestamp", "2026-07-20 06:00:00 America/New_York", TEN),
    ("timestamp", "2026-07-20 23:59:59.9999999", at("2026-07-20T23:59:59.999999")),
    *(("timestamp", f"2026-07-20 10:00 {zone}", None) for zone in ("BST", "EST", "CET", "CEST", "PST8PDT", "bst")),
    *(("timestamp", f"2026-07-20 10:00 {zone}", None) for zone in ("Europe/Nowhere", "x/y", "+25:00", "+5", "(BC)")),
    ("timestamp", "2026-10-25 02:30 Europe/Berlin", None),  # twice
    ("timestamp", "2026-03-29 02:30 Europe/Berlin", None),  # never
    *(("date", text, date(2026, 7, 20)) for text in ("2026-07-20", "2026-07-20T00:00:00Z", " 2026-7-20 ")),
    *(
        ("date", text, None)
        for text in ("2026-07-20 (BC)", "2026-07-20 00:00:01", "2026-07-20 00:00+02:00", "20260720")
    ),
    *(("int64", text, 7) for text in ("7", " 7 ", "007", "+7", "7.", "7.00")),
    *(("int64", text, None) for text in ("7.5", "7e0", "", "9223372036854775808", "7,0", "0x7", "NaN")),
    ("int64", "9007199254740993.0", 2**53 + 1),
    *(("float64", text, value) for text, value in [("0.1", 0.1), ("1e3", 1000.0), (".5", 0.5), ("0", 0.0)]),
    ("float64", "0.30000000000000004", 0.1 + 0.2),
    *(("float64", text, None) for text in ("9007199254740993", "0.12345678901234567890", "1_000", "1,5", "1e-400")),
    *(("float32", text, value) for text, value in [("0.5", 0.5), ("16777217", None), ("0.123456789", None)]),
    *(("bool", text, True) for text in ("true", "TRUE", "t", "yes", "1", " y ")),
    *(("bool", text, False) for text in ("false", "F", "no", "0", "n")),
    *(("bool", text, None) for text in ("2", "on", "ja", "1.0", "")),
]


@pytest.mark.parametrize("dtype", sorted({dtype for dtype, _, _ in TEXTS}))
def test_text_keeps_what_it_says(engine: Engine, dtype: DType) -> None:
    """Text is a typed value only when it says exactly that one."""
    cases = [(text, value) for of, text, value in TEXTS if of == dtype]
    found = stored(engine, pa.array([text for text, _ in cases]), dtype)
    assert dict(zip([text for text, _ in cases], found, strict=True)) == dict(cases)


def test_the_declared_decimal_sign_counts(engine: Engine) -> None:
    """Where the sign is a comma, a point is none."""
    texts = pa.array(["1,5", "1.5", "-2,25e1", "1.234,5"])
    assert stored(engine, texts, "float64", decimal=",") == [1.5, None, -22.5, None]
    assert stored(engine, pa.array(["7,0", "7.0"]), "int64", decimal=",") == [7, None]


def test_fractions_of_json_are_doubles(engine: Engine) -> None:
    """A number of JSON with a fraction has been read as a double, so beyond 2^53 it is no integer."""
    assert stored(engine, pa.array(["9007199254740992.0", "7.0", "9007199254740993"]), "int64", of_json=True) == [
        None, 7, 2**53 + 1
    ]  # fmt: skip


ARRAYS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.uint64())),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20).map(pa.array),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20).map(
        lambda v: pa.array(v, pa.float32())
    ),
    st.lists(st.decimals(-(10**8), 10**8, places=4), min_size=1, max_size=20).map(
        lambda v: pa.array(v, pa.decimal128(20, 4))
    ),
    st.lists(st.binary(max_size=6), min_size=1, max_size=20).map(pa.array),
    st.lists(st.booleans(), min_size=1, max_size=20).map(pa.array),
    st.lists(st.dates(date(1900, 1, 1), date(2100, 1, 1)), min_size=1, max_size=20).map(pa.array),
    st.lists(st.times(), min_size=1, max_size=20).map(pa.array),
    st.lists(st.datetimes(naive("1900-01-01"), naive("2100-01-01")), min_size=1, max_size=20).map(pa.array),
    st.lists(st.datetimes(naive("1900-01-01"), naive("2100-01-01")), min_size=1, max_size=20).map(
        lambda v: pa.array(v, pa.timestamp("us", "UTC"))
    ),
)


@settings(max_examples=150)
@given(values=ARRAYS, dtype=st.sampled_from(sorted(SQL_TYPES)))
def test_every_stored_value_leads_back(engine: Engine, values: pa.Array, dtype: DType) -> None:
    """Whatever the types, a stored value turned back is the one that landed; every other one is refused."""
    for original, value in zip(values.to_pylist(), stored(engine, values, dtype), strict=True):
        if value is not None:
            assert _back(value, original) == original, (values.type, dtype, original, value)


def _back(value: Any, original: Any) -> Any:
    """`value` as the type of `original`, by Python's own exact rules."""
    match original:
        case bool():
            return {"true": True, "false": False}[value] if isinstance(value, str) else bool(value)
        case bytes():
            return value.encode()
        case datetime() if original.tzinfo is None:
            naive = datetime.fromisoformat(value) if isinstance(value, str) else value
            return _instant(naive).replace(tzinfo=None)
        case datetime():
            return _instant(datetime.fromisoformat(value) if isinstance(value, str) else value)
        case date():
            return date.fromisoformat(value) if isinstance(value, str) else _instant(value).date()
        case time():
            return time.fromisoformat(value)
        case Decimal():
            return round(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), 4)
        case float():
            return float(value)
    return int(value)


def _instant(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
