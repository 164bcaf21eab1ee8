"""Rows of a test as the typed table that the lake would hold, and rows made up from a contract.

Here: plain values to Arrow, by the declared columns. Not here: SQL over them (sql.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from serving_assets.catalog.columns import Column, DType
from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY
from serving_assets.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
ENTITIES, ITEMS = 8, 3
"""Values of the first column of a made-up key, and of each further one."""


def arrow_type(dtype: DType) -> pa.DataType:
    """The type in which the lake stores a declared type."""
    import pyarrow as pa

    found: dict[DType, pa.DataType] = {
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "string": pa.string(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    return found[dtype]


def typed(table: Table, rows: Sequence[Row]) -> pa.Table:
    """`rows` as `table` would hold them: columns that a row leaves out are null.

    Dates and timestamps may be ISO 8601 text; a timestamp without a zone is local. A daily table's `day` follows from
    its event time where a row leaves it out.

    Raises:
        InputError: a column is unknown, a value is of another type, or a row of a daily table has no day.
    """
    import pyarrow as pa

    schema = dict(table.schema)
    plain = [_plain(table, schema, row) for row in rows]
    columns = []
    for name, dtype in schema.items():
        try:
            columns.append(pa.array([row.get(name) for row in plain], arrow_type(dtype)))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InputError(f"{table.name}: a value of {name} is no {dtype}: {error}.") from error
    return pa.table(columns, names=list(schema))


def _plain(table: Table, schema: Mapping[str, DType], row: Row) -> dict[str, Any]:
    if unknown := sorted(row.keys() - schema.keys()):
        raise InputError(
            f"{table.name} has no column {', '.join(unknown)}.", hint=f"Its columns are {', '.join(schema)}."
        )
    zone = ZoneInfo(table.domain.timezone)
    found = {name: _value(table.name, name, schema[name], value, zone) for name, value in row.items()}
    if table.daily and found.get(DAY) is None:
        happened = found.get(table.spec.event_time or "")
        if happened is None:
            raise InputError(f"{table.name}: a row has no {DAY}: {dict(row)!r}.", hint=f"Give it {DAY!r}.")
        found[DAY] = happened.astimezone(zone).date() if isinstance(happened, datetime) else happened
    return found


def _value(table: str, name: str, dtype: DType, value: Any, zone: ZoneInfo) -> Any:
    try:
        if dtype == "timestamp" and value is not None:
            instant = datetime.fromisoformat(value) if isinstance(value, str) else value
            return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
        if dtype == "date" and isinstance(value, str):
            return date.fromisoformat(value)
    except (ValueError, AttributeError) as error:
        raise InputError(f"{table}: {name} is {value!r}, which is no {dtype}.", hint="Write it as ISO 8601.") from error
    return value


def made_up(table: Table, days: Sequence[date], seed: int) -> list[dict[str, Any]]:
    """Rows of a source that keep its contract: every key of a few values, on each of `days` where it is daily.

    What a row says beside its key and its amounts follows from the first column of the key and the day, as the lines
    of one basket are of one customer.
    """
    zone = ZoneInfo(table.domain.timezone)
    rows = []
    for age, day in enumerate(days if table.daily else days[:1]):
        for key in product(*(range(1, (ENTITIES if i == 0 else ITEMS) + 1) for i in range(len(table.spec.key)))):
            rows.append(dict(_made_up(table, key, day, age if table.daily else 0, zone, seed)))
    return rows


def _made_up(
    table: Table, key: tuple[int, ...], day: date, age: int, zone: ZoneInfo, seed: int
) -> Iterator[tuple[str, Any]]:
    if table.daily:
        yield DAY, day
    for name, column in table.columns.items():
        if name in table.spec.key and column.dtype in ("int32", "int64"):
            place = table.spec.key.index(name)
            yield name, key[place] + (age * ENTITIES if place == 0 and len(table.spec.key) > 1 else 0)
        else:
            of_row = key if column.dtype in ("float32", "float64") or name in table.spec.key else key[:1]
            yield name, _random_value(column, random.Random(f"{seed} {name} {of_row} {age}"), day, zone)


def _random_value(column: Column, source: random.Random, day: date, zone: ZoneInfo) -> Any:
    if not column.required and source.random() < 0.2:
        return None
    low = column.bounds.minimum if column.bounds.minimum is not None else 0
    high = column.bounds.maximum if column.bounds.maximum is not None else low + ENTITIES
    match column.dtype:
        case "bool":
            return source.random() < 0.5
        case "int32" | "int64":
            return source.randint(int(low), int(high))
        case "float32" | "float64":
            return round(source.uniform(low, high), 2)
        case "string":
            return source.choice(["a", "b", "ä b", ""])
        case "date":
            return day
        case "timestamp":
            return datetime.combine(day, time(source.randint(4, 22), source.randint(0, 59)), zone) + timedelta(0)
