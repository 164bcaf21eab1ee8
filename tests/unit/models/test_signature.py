"""Signatures: what fits a model, and what is said when something does not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.errors import InputError
from serving_assets.models.signature import Feature, Signature

SIGNATURE = Signature(
    features=(
        Feature(name="a", dtype="float64", required=True),
        Feature(name="b", dtype="int64"),
        Feature(name="c", dtype="string"),
    ),
    outputs=("score",),
)


def test_survives_json() -> None:
    """A signature read back from its JSON equals the one written."""
    assert Signature.model_validate_json(SIGNATURE.model_dump_json()) == SIGNATURE


def test_of_schema_takes_every_column_but_the_excluded() -> None:
    """The features are the table's columns in their order, without those excluded."""
    schema = pa.schema([("id", pa.int64()), ("z", pa.int32()), ("a", pa.bool_()), ("s", pa.large_string())])
    found = Signature.of_schema(schema, exclude=("id",), outputs=("score",))
    assert [(f.name, f.dtype) for f in found.features] == [("z", "int32"), ("a", "bool"), ("s", "string")]


@pytest.mark.parametrize("dtype", [pa.date32(), pa.timestamp("us", "UTC"), pa.decimal128(10, 2), pa.list_(pa.int64())])
def test_of_schema_refuses_what_is_no_feature(dtype: pa.DataType) -> None:
    """A column that is neither number nor string is refused by name, with the fix."""
    with pytest.raises(InputError, match=r"'when' is .* cannot be a feature.*number or a string"):
        Signature.of_schema(pa.schema([("when", dtype)]), exclude=(), outputs=("score",))


def test_check_names_every_problem() -> None:
    """One error tells all that is missing or of the wrong kind."""
    schema = pa.schema([("a", pa.string()), ("c", pa.int64())])
    with pytest.raises(InputError) as raised:
        SIGNATURE.check(schema)
    assert "'a' must be float64, found string; 'b' (int64) is missing; 'c' must be string, found int64" in str(
        raised.value
    )


@pytest.mark.parametrize("dtype", [pa.int32(), pa.float32(), pa.bool_(), pa.float64(), pa.null()])
def test_any_number_fits_a_number(dtype: pa.DataType) -> None:
    """A numeric feature may arrive in any numeric type, in any place, among further columns."""
    SIGNATURE.check(pa.schema([("x", pa.date32()), ("c", pa.string()), ("b", dtype), ("a", pa.float64())]))


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_required_feature_may_not_be_missing(hole: float | None) -> None:
    """A required feature that is NULL or NaN is refused, with the number of rows."""
    batch = pa.record_batch({"a": [1.0, hole, hole], "b": [None, 1, 2], "c": [None, "x", "y"]})
    with pytest.raises(InputError, match="'a' is missing in 2 of 3 rows"):
        SIGNATURE.check_rows(batch)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_round_the_same_beside_a_missing_one(values: list[int | None]) -> None:
    """An integer becomes the same float32 whether or not another row of its batch is missing."""
    signature = Signature(features=(Feature(name="n", dtype="int64"),), outputs=("score",))
    matrix = signature.matrix(pa.record_batch({"n": pa.array(values, pa.int64())}))
    alone = [signature.matrix(pa.record_batch({"n": pa.array([v], pa.int64())}))[0, 0] for v in values]
    np.testing.assert_array_equal(matrix[:, 0], np.array(alone, dtype=np.float32))
    assert np.isnan(matrix[:, 0]).tolist() == [v is None for v in values]
