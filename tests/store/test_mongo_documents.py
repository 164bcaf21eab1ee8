"""How texts and control records are kept in MongoDB: readable where possible, and always the same when read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import bson
import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.errors import InputError
from serving_assets.store import Activation, Control, Document, Generation, Lease, Pin, StoreError
from serving_assets.store.mongo_documents import (
    GONE,
    check_name,
    content,
    from_document,
    from_record,
    slot,
    to_document,
    to_record,
)
from tests.store.snapshots import text

TEXTS = st.text(st.characters(codec="utf-8"), max_size=10)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["v", "as_of", "model_version", "g", "gone", "text", "_id", "$a", "a.b", ""])
DAMAGED: list[Any] = [
    {},
    {"cur": None, "prev": None},
    {"cur": {}, "prev": None},
    {"cur": {"g": "x", "gone": True}, "prev": None},
    {"cur": {"g": 1}, "prev": None},
    {"cur": {"g": 1, "v": {"at": bson.ObjectId("0" * 24)}}, "prev": None},
    {"cur": {"g": 1, "v": 1}, "prev": None},
    {"cur": {"g": 1, "gone": True}},
    {"cur": {"g": 1, "gone": True}, "prev": 7},
]


def _kept(written: str | None) -> str | None:
    """What is read back of a text that went through the server's format."""
    stored = bson.decode(bson.encode(to_document(1, slot(7, written), 6, content(written))))
    document = from_document("c", stored)
    assert (document.entity, document.cur_g, document.prev_g, document.prev) == (1, 7, 6, document.cur)
    return document.cur


@given(TEXTS | JSON.map(json.dumps) | st.dictionaries(NAMES, JSON).map(lambda v: json.dumps(v, separators=(",", ":"))))
def test_any_text_is_read_back_as_it_was(written: str) -> None:
    """Whatever the text, JSON of any form or none, the digest of what is read back is that of what was written."""
    assert _kept(written) == written


@given(st.lists(st.fixed_dictionaries({"x": FLOATS, "n": st.none() | st.integers(-(2**63), 2**63 - 1), "s": TEXTS})))
def test_what_the_lake_renders_becomes_a_sub_document(rows: list[dict[str, Any]]) -> None:
    """Of every number and text that DuckDB renders, people see fields, and the same text is rendered again."""
    schema = pa.schema([("x", pa.float64()), ("n", pa.int64()), ("s", pa.string())])
    table = pa.Table.from_pylist(rows, schema=schema)
    with duckdb.connect() as connection:
        connection.register("rows", table)
        texts = connection.execute("SELECT '{\"v\":' || CAST(to_json(rows) AS VARCHAR) || '}' FROM rows").fetchall()
    for (rendered,), row in zip(texts, rows, strict=True):
        assert content(rendered) == {"v": row}
        assert _kept(rendered) == rendered


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('{"v":{"score":0.5}}', {"v": {"score": 0.5}}),
        ('{"v":{"score":1e-7,"label":"é"}}', {"v": {"score": 1e-7, "label": "é"}}),
        ('{"v":{},"as_of":"x","model_version":"3"}', {"v": {}, "as_of": "x", "model_version": "3"}),
        (None, {"gone": True}),
        ('{"v":{"score": 0.5}}', None),
        ('{"v":{"score":0.50}}', None),
        ('{"v":{"score":1E5}}', None),
        ('{"v":{"a":1,"a":2}}', None),
        ('{"v":{"a.b":1}}', None),
        ('{"v":{"$a":1}}', None),
        ('{"v":{"a":18446744073709551615}}', None),
        ('{"v":{"a":NaN}}', None),
        ('{"v":{"a":1e400}}', None),
        ('{"v":1}', None),
        ('{"as_of":"x","v":{}}', None),
        ('{"v":{},"as_of":1}', None),
        ('{"v":{},"other":1}', None),
        ('{"v":{"a":' + "[" * 200 + "]" * 200 + "}}", None),
        ('{"v":{"a":"\\ud800"}}', None),
        ("", None),
    ],
)
def test_only_canonical_texts_become_fields(written: str | None, expected: dict[str, Any] | None) -> None:
    """A text is kept as fields where these render it again byte by byte, and as text everywhere else."""
    assert content(written) == (expected or {"text": written})
    assert _kept(written) == written


@pytest.mark.parametrize("stored", DAMAGED, ids=str)
def test_a_foreign_document_is_reported(stored: dict[str, Any]) -> None:
    """A document that this project did not write is an error with its collection and the fix, never a value."""
    with pytest.raises(StoreError, match=r"shoppers: a document is not one that this project wrote.*rewrite"):
        from_document("shoppers", {"_id": 1, **stored})


def test_a_document_is_readable() -> None:
    """People find a person's value, its generation, and the one before, under the person's own id."""
    stored = to_document("person", slot(7, text(0.5)), 6, GONE)
    assert stored == {"_id": "person", "cur": {"g": 7, "v": {"score": 0.5}}, "prev": {"g": 6, "gone": True}}
    assert from_document("c", stored) == Document("person", 7, text(0.5), 6, None)


@given(st.integers(0, 2**64 - 1))
def test_a_control_record_is_read_back_as_it_was(digest: int) -> None:
    """Every field of a control record survives, digests of 64 bits without a sign included."""
    generation = Generation(3, "day", "1", 2, 10, digest, "run", "writer", "now", repeats=1)
    control = Control(
        5, 4, generation, replace(generation, number=2), False, "now", ((1, 1), (4, 9)), Lease("w", 4, 1.5),
        Pin("me", "now", "why"), (Activation(generation, "now", "publish", "w", ""),),
    )  # fmt: skip
    for record in (control, Control()):
        stored = bson.decode(bson.encode(to_record("c", record)))
        assert stored["_id"] == "c"
        assert from_record("c", stored) == record


@pytest.mark.parametrize("stored", [{}, {"revision": 1}, {**to_record("c", Control()), "from": "the future"}], ids=str)
def test_a_control_record_of_another_version_is_reported(stored: dict[str, Any]) -> None:
    """A control record that cannot be understood is reported with its collection."""
    with pytest.raises(StoreError, match="shoppers: the control record cannot be understood"):
        from_record("shoppers", stored)


@pytest.mark.parametrize("name", ["", "system.users", "_control", "a$b", "a\0b"])
def test_names_that_cannot_be_collections_are_refused(name: str) -> None:
    """Names that MongoDB keeps for itself, or this project for its control records, are refused."""
    with pytest.raises(InputError, match="cannot be the name of a collection"):
        check_name(name)
