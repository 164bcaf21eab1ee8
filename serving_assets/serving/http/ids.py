"""Ids as the declaration types them, so that nothing but an integer or plain text ever reaches a store.

Here: an id from a path, and an id from JSON. Not here: whether anybody has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from serving_assets.catalog.spec import Entity as EntitySpec
from serving_assets.store import Entity

MOST_CHARACTERS = 256
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INT64 = 1 << 63

ParseId = Callable[[Any], Entity | None]


def parser(entity: EntitySpec) -> ParseId:
    """A function from an id in JSON, or the text of one in a path, to the id; None for what cannot be one."""
    return _integer if entity.dtype == "int64" else _text


def expected(entity: EntitySpec) -> str:
    """What an id must be, in words."""
    if entity.dtype == "int64":
        return f"a {entity.key} is a whole number of 64 bits, without leading zeros"
    return f"a {entity.key} is text of 1 to {MOST_CHARACTERS} characters, none of them a control character"


def path_segment(raw: bytes) -> str | None:
    """A segment of a path with its escapes resolved; None when that is no UTF-8."""
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        return None


def _integer(value: Any) -> int | None:
    if type(value) is str:  # a path's segment, or a client whose numbers have 53 bits
        if not _INTEGER.fullmatch(value):
            return None
        value = int(value)
    if type(value) is not int or not -_INT64 <= value < _INT64:
        return None
    return value


def _text(value: Any) -> str | None:
    if type(value) is not str or not 0 < len(value) <= MOST_CHARACTERS or _CONTROL.search(value):
        return None
    return value
