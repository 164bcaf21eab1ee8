"""Rules of the contract: which landed value is which typed value, and that every landed row is in exactly one table.

Not here: broken deliveries as a whole (tests/pipeline/).
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.catalog.columns import DType, optional
from serving_assets.catalog.spec import Format
from tests.unit.engines.landings import FORMATS, GOOD, MONDAY, Zone, encoded, one_column, sales

naive = datetime.fromisoformat
NOON = datetime(2017, 3, 6, 12, tzinfo=UTC)
BIG = 2**60 + 1
"""No double is that number, so a detour over one would show."""

TEXTS: list[tuple[DType, str, Any]] = [
    *(("int64", text, value) for text, value in [("7", 7), (" 7 ", 7), ("+7", 7), ("-7.0", -7), (str(BIG), BIG)]),
    *(("int64", text, None) for text in ["1.5", "7e0", "1_000", "0x10", "true", "seven", "9" * 19, "1,5", "٣"]),
    *(("int32", text, value) for text, value in [("2147483647", 2**31 - 1), ("2147483648", None)]),
    *(("float64", text, value) for text, value in [("1.5", 1.5), ("1e3", 1000.0), ("1,5", None)]),
    *(("float32", text, value) for text, value in [("0.5", 0.5), ("1e300", None)]),
    *(("bool", text, value) for text, value in [("true", True), ("FALSE", False), ("2", None), ("ja", None)]),
    *(("date", text, date(2017, 3, 6)) for text in ["2017-03-06", "2017-3-6", "2017-03-06 00:00:00"]),
    *(("date", text, None) for text in ["2017-03-06 12:00:00", "06.03.2017", "2017-02-30", "infinity", "epoch"]),
    *(("timestamp", text, NOON) for text in ["2017-03-06 12:00", "2017-03-06T12:00:00Z", "2017-03-06 14:00:00+02:00"]),
    *(("timestamp", text, None) for text in ["12:00", "1488801600", "2017-03-06 25:00", "infinity", "03/06/2017"]),
    *(("string", text, text) for text in ["2017-3-6", "007", "1.50", "Größe 'x' \"y\"", "null"]),
]
TYPED: list[tuple[DType, pa.Array, list[Any]]] = [
    ("int64", pa.array([1.0, 1.5, math.nan, 1e300]), [1, None, None, None]),
    ("int64", pa.array([Decimal("1.00"), Decimal("1.50")]), [1, None]),
    ("int64", pa.array([True, False]), [1, 0]),
    ("int64", pa.array([2**64 - 1, 5], pa.uint64()), [None, 5]),
    ("int64", pa.array([NOON]), [None]),
    ("int64", pa.array([[1]]), [None]),
    ("int32", pa.array([2**31, 5]), [None, 5]),
    ("bool", pa.array([0, 1, 2]), [False, True, None]),
    ("bool", pa.array([0.5, 1.0]), [None, True]),
    ("date", pa.array([naive("2017-03-06 00:00"), naive("2017-03-06 01:00")]), [date(2017, 3, 6), None]),
    ("date", pa.array([5]), [None]),
    ("timestamp", pa.array([naive("2017-03-06 12:00")], pa.timestamp("ns")), [NOON]),
    ("timestamp", pa.array([NOON], pa.timestamp("ms", "America/New_York")), [NOON]),
    ("timestamp", pa.array([date(2017, 3, 6)]), [NOON - timedelta(hours=12)]),
    ("timestamp", pa.array([1488801600]), [None]),
    ("timestamp", pa.array([2**63 - 1]).view(pa.timestamp("us", "UTC")), [None]),  # DuckDB's infinity
    ("float64", pa.array([1, 2]), [1.0, 2.0]),
    ("float32", pa.array([0.5, 0.1, 1e300]), [0.5, None, None]),
    ("string", pa.array([BIG, 5]), [str(BIG), "5"]),
]


def landed_values(zone: Zone) -> list[Any]:
    """The accepted values in the order of their ids, None where the row was refused for its type."""
    zone.ingest()
    found = {row["id"]: row["value"] for row in zone.accepted()}
    dtype = zone.source.columns["value"].dtype
    for reason, row in zone.rejected():
        assert reason in (f"value is not {dtype}", "value is not finite")
        found[int(row["id"])] = None
    return [found[key] for key in sorted(found)]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("dtype", sorted({dtype for dtype, _, _ in TEXTS}))
def test_text_is_the_value_it_says_or_refused(tmp_path: Path, form: Format, dtype: DType) -> None:
    """Text becomes a typed value only when it says exactly that value; nothing is rounded, guessed or rewritten."""
    cases = [(text, value) for of, text, value in TEXTS if of == dtype]
    zone = Zone(tmp_path, one_column(optional(dtype, "Value"))).of(format=form)
    zone.drop([{"id": number, "value": text} for number, (text, _) in enumerate(cases)])
    assert dict(zip([text for text, _ in cases], landed_values(zone), strict=True)) == dict(cases)


@pytest.mark.parametrize(("dtype", "values", "expected"), TYPED, ids=[f"{v.type} as {d}" for d, v, _ in TYPED])
def test_a_typed_value_is_the_same_value_or_refused(
    tmp_path: Path, dtype: DType, values: pa.Array, expected: list[Any]
) -> None:
    """A value of another Parquet type becomes a typed value only when that can say the same."""
    zone = Zone(tmp_path, one_column(optional(dtype, "Value")))
    path = zone.drop(b"")
    pq.write_table(pa.table({"id": range(len(values)), "value": values}), path)
    assert landed_values(zone) == expected


def test_a_file_of_another_type_rounds_nothing(tmp_path: Path) -> None:
    """Integers in one file stay exact when other files of the day have doubles, and then text, in that column."""
    zone = Zone(tmp_path)
    zone.drop([{**GOOD, "id": BIG}], "a.parquet")
    zone.drop([{**GOOD, "id": 2.0}, {**GOOD, "id": 2.5}], "b.parquet")
    assert zone.ingest().reasons == {"id is not int64": 1}
    assert [row["id"] for row in zone.accepted()] == [2, BIG]
    zone.drop([{**GOOD, "id": str(BIG + 2), "price": "2.5", "extra": True}], "c.parquet")
    assert zone.ingest().extra_columns == ("extra",)
    assert [row["id"] for row in zone.accepted()] == [2, BIG, BIG + 2]


def test_a_naive_timestamp_is_utc(tmp_path: Path) -> None:
    """A timestamp without a zone is UTC, also when the domain and the machine live elsewhere."""
    zone = Zone(tmp_path, timezone="America/New_York")
    zone.drop([{**GOOD, "sold_at": naive("2017-03-06 12:00")}])
    zone.ingest()
    assert zone.accepted()[0]["sold_at"] == NOON


def test_an_ndjson_line_may_leave_out_what_is_empty(tmp_path: Path) -> None:
    """A key without a value may be missing in a line, or in all of them, unless the column is required."""
    zone = Zone(tmp_path, sales(format="ndjson"))
    zone.drop([{"id": 1, "sold_at": str(NOON), "quantity": 1}, {"id": 2, "sold_at": str(NOON)}])
    assert zone.ingest().reasons == {"quantity is empty": 1}
    assert zone.accepted()[0]["price"] is None


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.one_of(st.none(), st.integers(-1, 4)),
            "sold_at": st.one_of(st.none(), st.datetimes(naive("2017-03-05 12:00"), naive("2017-03-07 12:00"))),
            "quantity": st.one_of(st.none(), st.integers(-2, 2), st.integers(1_234_566, 1_234_569)),
            "price": st.one_of(st.none(), st.floats(width=32)),
            "note": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
        }
    ),
    max_size=12,
)


@settings(max_examples=20)
@given(rows=ROWS, form=st.sampled_from(FORMATS), zone_name=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]))
def test_every_row_is_in_one_of_the_two_tables(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], form: Format, zone_name: str
) -> None:
    """Accepted and rejected rows are the landed ones; accepted ones keep the contract, rejected ones break it."""
    zone = Zone(tmp_path_factory.mktemp("rows"), sales(format=form, may_be_empty=True), zone_name)
    zone.drop(encoded(rows, form, list(GOOD)))
    landed = zone.ingest()
    accepted, rejected = zone.accepted(), zone.rejected()
    assert (landed.rows, landed.rejected) == (len(accepted), len(rejected))
    assert len(accepted) + len(rejected) == len(rows)

    sound = [row for row in rows if _is_sound(row, ZoneInfo(zone_name))]
    assert sorted(row["id"] for row in accepted) == sorted({row["id"] for row in sound})
    originals = {(row["id"], row["sold_at"].replace(tzinfo=UTC), row["quantity"]) for row in sound}
    assert {(row["id"], row["sold_at"], row["quantity"]) for row in accepted} <= originals
    assert sorted(_number(row["id"]) for _, row in rejected) == sorted(
        [_number(row["id"]) for row in rows if not _is_sound(row, ZoneInfo(zone_name))]
        + [row["id"] for position, row in enumerate(sound) if row["id"] in [r["id"] for r in sound[:position]]]
    )


def _is_sound(row: dict[str, Any], zone: ZoneInfo) -> bool:
    if row["id"] is None or row["sold_at"] is None or row["quantity"] is None:
        return False
    local = row["sold_at"].replace(tzinfo=UTC).astimezone(zone).date()
    price = row["price"]
    price_is_sound = price is None or (math.isfinite(price) and price >= 0)
    return row["id"] >= 1 and 0 <= row["quantity"] <= 1_234_567 and price_is_sound and local == MONDAY


def _number(value: Any) -> int:
    return -99 if value is None else int(value)
