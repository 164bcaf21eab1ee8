"""Which partitions a read or a write means: equal values, sets of them and day ranges over partition columns.

Here: their types, their validation against a table, and matching. Not here: conditions on other columns; those are SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from serving_assets.errors import InputError

PartitionValue = date | str | int


@dataclass(frozen=True)
class DayRange:
    """The days from `first` to `last`, both included.

    Raises:
        InputError: when `last` lies before `first`, or one of them is not a plain date.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        for value in (self.first, self.last):
            if type(value) is not date:
                raise InputError(f"A day range is made of dates, got {value!r}.", hint="Pass datetime.date values.")
        if self.last < self.first:
            raise InputError(
                f"The day range ends on {self.last}, before it begins on {self.first}.", hint="Swap the two days."
            )

    def __contains__(self, day: object) -> bool:
        return type(day) is date and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def days(self) -> Iterator[date]:
        """Every day of the range, oldest first."""
        for offset in range(len(self)):
            yield self.first + timedelta(days=offset)


@dataclass(frozen=True)
class AnyOf:
    """Some values of a partition column, for what touches partitions that lie apart.

    Raises:
        InputError: when there is no value at all.
    """

    values: frozenset[PartitionValue]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("A condition names no value.", hint="Leave out what has nothing to select.")

    def __str__(self) -> str:
        named = sorted(map(str, self.values))
        return f"in {', '.join(named[:3])}" + (f" and {len(named) - 3} others" if len(named) > 3 else "")


Condition = DayRange | AnyOf | date | str | int
Where = Mapping[str, Condition]


def describe(where: Where) -> str:
    """`where` in words, for messages: `day 2017-01-01..2017-01-31 and run_id 7f`."""
    return " and ".join(f"{column} {condition}" for column, condition in where.items()) or "the whole table"


def matches(where: Where, partition: Mapping[str, PartitionValue | None]) -> bool:
    """Whether the partition with these values is one that `where` selects."""
    return all(_holds(condition, partition[column]) for column, condition in where.items())


def delta_filters(where: Where) -> list[tuple[str, str, str | list[str]]]:
    """`where` as the partition filters of a Delta commit, values in their string form."""
    filters: list[tuple[str, str, str | list[str]]] = []
    for column, condition in where.items():
        if isinstance(condition, DayRange):
            filters += [(column, ">=", condition.first.isoformat()), (column, "<=", condition.last.isoformat())]
        elif isinstance(condition, AnyOf):
            filters.append((column, "in", sorted(map(str, condition.values))))
        else:
            filters.append((column, "=", str(condition)))
    return filters


def validate(where: Where, *, table: str, schema: pa.Schema, partition_columns: tuple[str, ...]) -> None:
    """Refuse a condition that is not on a partition column, or whose value is not of the column's type.

    Raises:
        InputError: naming the table, the column and what would be right.
    """
    for column, condition in where.items():
        if column not in partition_columns:
            known = ", ".join(partition_columns) or "none: it is not partitioned"
            raise InputError(
                f"{table} cannot be selected by {column!r}; its partition columns are {known}.",
                hint="Select by a partition column, and filter other columns in SQL.",
            )
        for one in condition.values if isinstance(condition, AnyOf) else (condition,):
            _check_value(table, column, schema.field(column).type, one)


def check_partition_type(table: str, field: pa.Field) -> None:
    """Refuse a partition column that is neither date, string nor integer."""
    if not (pa.types.is_date(field.type) or pa.types.is_string(field.type) or pa.types.is_integer(field.type)):
        raise InputError(
            f"{table} cannot be partitioned by {field.name!r} of type {field.type}.",
            hint="Partition by a date, string or integer column.",
        )


def _holds(condition: Condition, value: PartitionValue | None) -> bool:
    if isinstance(condition, AnyOf):
        return value in condition.values
    return value in condition if isinstance(condition, DayRange) else value == condition


def _check_value(table: str, column: str, dtype: pa.DataType, condition: Condition) -> None:
    if pa.types.is_date(dtype):
        right, expected = type(condition) is date or isinstance(condition, DayRange), "a date or a DayRange"
    elif pa.types.is_integer(dtype):
        right, expected = type(condition) is int, "an int"
    else:
        right, expected = isinstance(condition, str) and condition != "", "a str that is not empty"
    if isinstance(condition, datetime) or not right:
        raise InputError(
            f"{table}.{column} is of type {dtype} and cannot equal {condition!r}.", hint=f"Pass {expected}."
        )
