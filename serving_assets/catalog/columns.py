"""Columns and their contracts: the one vocabulary of types, and what may stand in a column.

Here: types, bounds, and how they are written in SQL. Not here: tables (spec.py), or the checking of rows
(engines/, pipeline/checks/).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

DType = Literal["bool", "int32", "int64", "float32", "float64", "string", "date", "timestamp"]

SQL_TYPES: dict[DType, str] = {
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
"""DuckDB's name of each type. A `timestamp` is an instant: one without a zone is read as UTC."""

DTYPES: dict[str, DType] = {sql: dtype for dtype, sql in SQL_TYPES.items()}


def _owner(value: str) -> str:
    if not re.fullmatch(r"team:[\w-]+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", value):
        raise ValueError(f"{value!r} is not an owner: use team:<name> or an e-mail address")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(f"{value!r} is not a name: use lower-case letters, digits and underscores, a letter first")
    return value


Name = Annotated[str, AfterValidator(_name)]
Owners = Annotated[tuple[Annotated[str, AfterValidator(_owner)], ...], Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


def identifier(name: str) -> str:
    """`name` as SQL reads it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


class Spec(BaseModel):
    """A frozen declaration that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(Spec):
    """Closed interval that a number must lie in; an open side is None."""

    minimum: Number | None = None
    maximum: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}; swap them")
        return self

    def violation_sql(self, column: str) -> str | None:
        """SQL that is true where `column` is outside the bounds, or None when both sides are open."""
        sides = []
        if self.minimum is not None:
            sides.append(f"{column} < {_exact(self.minimum)}")
        if self.maximum is not None:
            sides.append(f"{column} > {_exact(self.maximum)}")
        return " OR ".join(sides) or None

    def __str__(self) -> str:
        low = "(-inf" if self.minimum is None else f"[{_exact(self.minimum)}"
        high = "inf)" if self.maximum is None else f"{_exact(self.maximum)}]"
        return f"{low}, {high}"


def _exact(number: float) -> str:
    """All digits: `:g` would keep six, and so move a bound."""
    return repr(number).removesuffix(".0")


def Between(minimum: float, maximum: float) -> Bounds:
    """The closed interval from `minimum` to `maximum`."""
    return Bounds(minimum=minimum, maximum=maximum)


def AtLeast(minimum: float) -> Bounds:
    """`minimum` or more."""
    return Bounds(minimum=minimum)


class Column(Spec):
    """One column's contract: its type, whether it may be empty, and the range of its numbers."""

    dtype: DType
    description: str
    required: bool = False
    bounds: Bounds = Bounds()

    @model_validator(mode="after")
    def _bounds_on_numbers(self) -> Column:
        if self.bounds != Bounds() and self.dtype in ("bool", "string", "date", "timestamp"):
            raise ValueError(f"bounds are for numbers, not for {self.dtype}; remove them")
        return self


def required(dtype: DType, description: str, bounds: Bounds | None = None) -> Column:
    """A column that is never empty."""
    return Column(dtype=dtype, description=description, required=True, bounds=bounds or Bounds())


def optional(dtype: DType, description: str, bounds: Bounds | None = None) -> Column:
    """A column that may be empty."""
    return Column(dtype=dtype, description=description, bounds=bounds or Bounds())
