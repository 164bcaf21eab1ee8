"""What a model takes and gives: names, types, order, and which features may never be missing.

Here: the signature, its check against a table, and the one way in which a batch becomes a scorer's input. Not here:
scoring (scorer.py), or ranges of values (the catalog's contracts).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from serving_assets.catalog.columns import DType, Spec
from serving_assets.errors import InputError, listed

_ARROW: dict[DType, pa.DataType] = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
}


Value = float | int | bool | str | None
"""A feature of a request; None is missing."""

_EXACT = 1 << 53
"""Integers up to here are float64 exactly, so that they are rounded to float32 once."""


class Feature(Spec):
    """One feature: a number enters as float32 with NaN for missing, a string with the empty string for missing.

    `required`: the model refuses a row in which it is missing.
    """

    name: str
    dtype: DType
    required: bool = False

    @property
    def is_string(self) -> bool:
        """Whether the feature enters as text."""
        return self.dtype == "string"


class Signature(Spec):
    """Features in the order the model takes them, and the names of the columns it gives.

    Both the original estimator and the compiled scorer see numbers cast to float32 first, so that a threshold parts
    the same values in both. A feature may arrive in any numeric type: int64 today and float64 tomorrow are the same
    feature.
    """

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]

    @classmethod
    def of_schema(cls, schema: pa.Schema, *, exclude: Iterable[str], outputs: Sequence[str]) -> Signature:
        """The signature of a table whose columns, but for `exclude`, are the features.

        Raises:
            InputError: when a column is of a type that cannot be a feature.
        """
        left_out = set(exclude)
        features = []
        for field in schema:
            if field.name in left_out:
                continue
            dtype = _dtype(field.type)
            if dtype is None:
                raise InputError(
                    f"column {field.name!r} is {field.type}, which cannot be a feature.",
                    hint="Turn it into a number or a string in the features' SQL (a date into days before $as_of).",
                )
            features.append(Feature(name=field.name, dtype=dtype))
        return cls(features=tuple(features), outputs=tuple(outputs))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def _required(self) -> tuple[int, ...]:
        return tuple(i for i, feature in enumerate(self.features) if feature.required)

    @property
    def all_numeric(self) -> bool:
        """Whether no feature is a string, so that one float32 matrix holds a batch."""
        return not any(feature.is_string for feature in self.features)

    def requiring(self, names: Iterable[str]) -> Signature:
        """The same signature with exactly `names` required."""
        wanted = set(names)
        features = tuple(f.model_copy(update={"required": f.name in wanted}) for f in self.features)
        return self.model_copy(update={"features": features})

    def check(self, schema: pa.Schema) -> None:
        """Prove that a table of this schema can be scored; further columns are ignored.

        Raises:
            InputError: names every feature that is missing or of the wrong kind.
        """
        problems = []
        for feature in self.features:
            if feature.name not in schema.names:
                problems.append(f"{feature.name!r} ({feature.dtype}) is missing")
                continue
            found = schema.field(feature.name).type
            if not _same_kind(feature, found):
                problems.append(f"{feature.name!r} must be {feature.dtype}, found {found}")
        if problems:
            raise InputError(
                f"The features do not fit the model: {listed(problems, by='; ')}.",
                hint="Correct the features' SQL, or train and promote a model for the new columns (command: train).",
            )

    def check_rows(self, batch: pa.RecordBatch) -> None:
        """Prove that no required feature is missing (NULL or NaN) in `batch`.

        Raises:
            InputError: names the first such feature and its number of rows.
        """
        for feature in self.features:
            if not feature.required:
                continue
            column = batch.column(feature.name)
            missing = column.null_count
            if pa.types.is_floating(column.type):
                missing += pc.sum(pc.is_nan(column)).as_py() or 0
            if missing:
                raise InputError(
                    f"feature {feature.name!r} is missing in {missing} of {batch.num_rows} rows, "
                    "and the model was trained on rows that all have it.",
                    hint="Give it a default in the features' SQL, or train a model that takes missing values.",
                )

    def arrow_schema(self) -> pa.Schema:
        """The schema of a batch built from scratch (a request, an adversarial row): exactly the features, in order."""
        return pa.schema([(feature.name, _ARROW[feature.dtype]) for feature in self.features])

    def batch_of(self, rows: Sequence[Sequence[Value]]) -> pa.RecordBatch:
        """A batch of plain values, each row in the features' order; whole numbers stay integers."""
        columns = [pa.array(column) for column in zip(*rows, strict=True)]
        return pa.RecordBatch.from_arrays(columns, names=list(self.names))

    def matrix_of(self, rows: Sequence[Sequence[Value]]) -> np.ndarray:
        """What `matrix` makes of `batch_of` these rows of numbers, at a hundredth of the cost, and without Arrow.

        Raises:
            InputError: when a required feature is missing.
        """
        self._require(rows)
        if any(type(value) is int and abs(value) > _EXACT for row in rows for value in row):
            return np.array([[_number(value) for value in row] for row in rows], dtype=np.float32)
        return np.array(rows, dtype=np.float64).astype(np.float32)

    def columns_of(self, rows: Sequence[Sequence[Value]]) -> dict[str, np.ndarray]:
        """What `columns` makes of `batch_of` these rows.

        Raises:
            InputError: when a required feature is missing.
        """
        self._require(rows)
        return {
            feature.name: np.array([value or "" for value in column], dtype=object)
            if feature.is_string
            else np.array([_number(value) for value in column], dtype=np.float32)
            for feature, column in zip(self.features, zip(*rows, strict=True), strict=True)
        }

    def _require(self, rows: Sequence[Sequence[Value]]) -> None:
        for index in self._required:
            if any(row[index] is None or row[index] != row[index] for row in rows):
                self.check_rows(self.batch_of(rows))

    def matrix(self, batch: pa.RecordBatch) -> np.ndarray:
        """The numeric features of `batch`: float32 (rows, numeric features), C order, NaN for missing."""
        numeric = [feature.name for feature in self.features if not feature.is_string]
        out = np.empty((batch.num_rows, len(numeric)), dtype=np.float32)
        for index, name in enumerate(numeric):
            out[:, index] = _floats(batch.column(name))
        return out

    def columns(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """Each feature of `batch` on its own, (rows,): float32 with NaN, or str with "", for missing."""
        return {
            f.name: _strings(batch.column(f.name)) if f.is_string else _floats(batch.column(f.name)).astype(np.float32)
            for f in self.features
        }


def _dtype(arrow: pa.DataType) -> DType | None:
    if pa.types.is_dictionary(arrow):
        return _dtype(arrow.value_type)
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return "string"
    if pa.types.is_null(arrow):
        return "float64"
    if pa.types.is_integer(arrow):
        return "int32" if arrow.bit_width <= 32 else "int64"
    return next((dtype for dtype, known in _ARROW.items() if known.equals(arrow)), None)


def _same_kind(feature: Feature, found: pa.DataType) -> bool:
    if pa.types.is_null(found):
        return True
    dtype = _dtype(found)
    return dtype is not None and (dtype == "string") == feature.is_string


def _number(value: Value) -> np.float32:
    """Rounded to float32 once: an integer that float64 cannot hold must not pass through it."""
    if value is None:
        return np.float32("nan")
    if type(value) is int and -(1 << 63) <= value < 1 << 63:
        return np.int64(value).astype(np.float32)
    return np.float32(value)


def _floats(column: pa.Array) -> Any:
    """(rows,), to be rounded to float32; integers with nulls are rounded here, or they would become float64 first."""
    if pa.types.is_floating(column.type) or (column.null_count == 0 and pa.types.is_primitive(column.type)):
        return column.to_numpy(zero_copy_only=False)
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _strings(column: pa.Array) -> Any:
    return pc.fill_null(column.cast(pa.string()), "").to_numpy(zero_copy_only=False)
