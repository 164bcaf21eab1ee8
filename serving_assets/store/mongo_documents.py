"""What a document and a control record look like in MongoDB, and back.

Here: the mapping, pure and lossless, and the queries on a document's generations. Not here: any command (mongo.py).

A slot holds what the protocol's text says as a sub-document, `{g: 7, v: {score: 0.1}}`, so that people and other
programs can read it; a tombstone is `{g: 7, gone: true}`. Reading renders the same text again, byte for byte, because
the digest is taken of it: a text that a sub-document could not carry (no JSON, or JSON written in another way than
ours) is kept as it is, `{g: 7, text: "..."}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from serving_assets.errors import InputError
from serving_assets.store.control_record import Control, Ranges
from serving_assets.store.read import REWRITE
from serving_assets.store.records import Document, Entity, StoreError

Fields = dict[str, Any]

GONE: Fields = {"gone": True}
"""The content of a tombstone."""

INT64 = 1 << 63
STAMP = ("as_of", "model_version")

_decode = json.JSONDecoder().raw_decode

NOT_A_NAME = re.compile(r"^$|^\$|\.|\0")
ESCAPED = re.compile(r"\\(?:u00[01][0-9a-f]|.)")
DEPTH = 20
"""How deep a text may be nested to become a sub-document; MongoDB refuses documents nested deeper than 100."""


def slot(generation: int, text: str | None) -> Fields:
    """The slot that holds `text` at `generation`."""
    return {"g": generation, **content(text)}


def content(text: str | None) -> Fields:
    """What a slot holds besides its generation."""
    if text is None:
        return GONE
    try:
        fields, _ = _decode(text)
        if _whole(fields) == text:
            return dict(fields)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return {"text": text}


def text_of(held: Mapping[str, Any]) -> str | None:
    """The text in a slot, None for a tombstone.

    Raises:
        ValueError, TypeError, KeyError: another program wrote what no slot can hold.
    """
    if "gone" in held:
        return None
    return str(held["text"]) if "text" in held else _whole(held)


def _whole(fields: Mapping[str, Any]) -> str:
    """The text of the fields that this project writes, in its order; other fields are not looked at."""
    values = fields["v"]
    if not isinstance(values, dict):
        raise TypeError("v is not an object")
    stamp = "" if len(fields) == 1 else "".join([_member(name, fields[name]) for name in STAMP if name in fields])
    return f'{{"v":{render(values)}{stamp}}}'


def _member(name: str, value: str) -> str:
    return f',"{name}":{encode_basestring(value)}'


def render(value: Any, depth: int = 0) -> str:
    """Canonical JSON: no spaces, the order given, the shortest digits, exponents as DuckDB and JavaScript place them.

    Raises:
        ValueError: MongoDB would not keep it, or not in a way that renders the same again.
    """
    kind = type(value)
    if kind is float:
        return _float(value)
    if kind is str:
        return _text(value)
    if kind is dict and depth < DEPTH:
        deeper = depth + 1
        return "{" + ",".join([f"{_name(name)}:{render(inner, deeper)}" for name, inner in value.items()]) + "}"
    if kind is list and depth < DEPTH:
        return "[" + ",".join([render(inner, depth + 1) for inner in value]) + "]"
    if kind is bool or value is None:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, int) and -INT64 <= value < INT64:
        return str(int(value))
    raise ValueError(f"{kind.__name__} is not kept")


@lru_cache(maxsize=1_000)
def _name(name: str) -> str:
    if NOT_A_NAME.search(name):
        raise ValueError("not a field name that MongoDB takes everywhere")
    return encode_basestring(name)


def _text(value: str) -> str:
    value.encode()  # a lone surrogate is a ValueError
    quoted = encode_basestring(value)
    if "\\u" not in quoted:
        return quoted
    # DuckDB writes the digits of a control character in capitals.
    return ESCAPED.sub(lambda found: found[0][:2] + found[0][2:].upper(), quoted)


def _float(value: float) -> str:
    text = repr(value)
    if "e" not in text and "n" not in text:
        return text
    if value - value != 0:
        raise ValueError("JSON has no such number")
    if 1e-6 <= abs(value) < 1e21:
        plain = format(Decimal(text), "f")
        return plain if "." in plain else plain + ".0"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}"


# Whole documents


def to_document(entity: Entity, cur: Fields, base: int | None, prev: Fields) -> Fields:
    """The stored form; `prev` is the content at `base`, and there is none before the first generation."""
    return {"_id": entity, "cur": cur, "prev": None if base is None else {"g": base, **prev}}


def from_document(collection: str, stored: Mapping[str, Any]) -> Document:
    """The protocol's form of a stored document.

    Raises:
        StoreError: another program wrote it.
    """
    try:
        entity, cur, prev = stored["_id"], stored["cur"], stored["prev"]
        return Document(
            entity if type(entity) is str else int(entity),
            int(cur["g"]),
            text_of(cur),
            None if prev is None else int(prev["g"]),
            None if prev is None else text_of(prev),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{collection}: a document is not one that this project wrote: {type(error).__name__}.", hint=REWRITE
        ) from error


def at_base(stored: Mapping[str, Any], base: int | None, void: Ranges) -> Fields:
    """What a stored document says at `base`, as the content of a slot.

    Of one that another program wrote it is a text that readers of `base` report as damaged, as they did before.
    """
    try:
        cur, prev = stored["cur"], stored["prev"]
        taken = cur if base is not None and cur["g"] <= base and not _among(cur["g"], void) else prev
        return GONE if taken is None else without_generation(taken)
    except (TypeError, KeyError, AttributeError):
        return {"text": "damaged"}


def without_generation(held: Mapping[str, Any]) -> Fields:
    """The content of a slot."""
    return {name: value for name, value in held.items() if name != "g"}


def is_newer(stored: Mapping[str, Any], generation: int) -> bool:
    """Whether a newer writer than `generation` was there."""
    try:
        return bool(stored["cur"]["g"] > generation)
    except (TypeError, KeyError):
        return False


def is_done(stored: Mapping[str, Any], generation: int, base: int | None, text: str | None) -> bool:
    """Whether `generation` has written `text` already; with no `base`, and left nothing of what was before."""
    try:
        emptied = base is not None or stored["prev"] is None
        return emptied and bool(stored["cur"]["g"] == generation) and text_of(stored["cur"]) == text
    except (ValueError, TypeError, KeyError):
        return False


def _among(generation: int, ranges: Ranges) -> bool:
    return any(first <= generation <= last for first, last in ranges)


# Queries


def shown_in_cur(generation: int, void: Ranges) -> Fields:
    """The documents whose `cur` a reader of `generation` takes."""
    query: Fields = {"cur.g": {"$lte": generation}}
    return {**query, "$nor": _in(void)} if void else query


def strays(generation: int, base: int | None, void: Ranges) -> Fields:
    """The documents that void or unfinished generations before `generation` wrote."""
    if base is None:
        return {"cur.g": {"$lt": generation}}
    above = {"cur.g": {"$gt": base, "$lt": generation}}
    below = [{"cur.g": {"$gte": first, "$lte": min(last, generation - 1)}} for first, last in void]
    return {"$or": [above, *below]}


def unseen(generation: int, void: Ranges) -> Fields:
    """The documents that no reader finds if `generation` is active: few, and each branch has its index."""
    gone = {**shown_in_cur(generation, void), "cur.gone": True}
    nothing_in_prev: Fields = {"$or": [{"prev.g": {"$exists": False}}, {"prev.gone": True}]}
    not_in_cur = [{"cur.g": {"$gt": generation}}, *_in(void)]
    return {"$or": [gone, *({**among, **nothing_in_prev} for among in not_in_cur)]}


def guessed(entity: Entity, held: Fields, in_cur: Fields) -> Fields:
    """The document of `entity` if it holds the content `held` in its `cur`, and that is `shown_in_cur`.

    A slot has one of `v`, `text` and `gone`, so a slot with the right one is not asked for the others: each condition
    costs the server a microsecond. MongoDB calls numbers equal that differ in type alone, so 1 finds a stored 1.0.
    """
    query = {"_id": entity, **in_cur}
    if "v" not in held:
        return query | {f"cur.{name}": value for name, value in held.items()}
    return query | {"cur.v": held["v"], "cur.as_of": held.get("as_of"), "cur.model_version": held.get("model_version")}


def _in(ranges: Ranges) -> list[Fields]:
    return [{"cur.g": {"$gte": first, "$lte": last}} for first, last in ranges]


# Control records


def to_record(collection: str, control: Control) -> Fields:
    """The stored form of a control record; digests as text, because they have 64 bits without a sign."""
    return {"_id": collection, **_with_digests(asdict(control), str)}


def from_record(collection: str, record: Mapping[str, Any]) -> Control:
    """The control record in its stored form.

    Raises:
        StoreError: it cannot be understood.
    """
    try:
        return Control.from_record(_with_digests({name: value for name, value in record.items() if name != "_id"}, int))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{collection}: the control record cannot be understood: {type(error).__name__}.",
            hint="It was damaged, or written by a newer version of this project: restore it or upgrade.",
        ) from error


def _with_digests(value: Any, kind: type) -> Any:
    if isinstance(value, dict):
        return {name: kind(held) if name == "digest" else _with_digests(held, kind) for name, held in value.items()}
    return [_with_digests(held, kind) for held in value] if isinstance(value, list | tuple) else value


def check_name(collection: str) -> None:
    """Refuse a name that cannot be one of MongoDB's collections, or is our own.

    Raises:
        InputError: it is.
    """
    if not collection or collection.startswith(("system.", "_")) or "$" in collection or "\0" in collection:
        raise InputError(
            f"{collection!r} cannot be the name of a collection.", hint="Begin it with a letter, without $ or system."
        )
