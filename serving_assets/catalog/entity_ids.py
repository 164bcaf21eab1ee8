"""Ids of entities: one rule, so that whatever is published can be asked for.

Here: the rule, for one id of a request and for a column of a table. Not here: whether there is an entity of an id.

A text id has 1 to 256 characters (Unicode code points), none of them a control character, and is neither `.` nor `..`,
which clients and proxies resolve as parts of a path. A number has 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from serving_assets.catalog.spec import Entity

MOST_CHARACTERS = 256
CONTROL = r"[\x00-\x1f\x7f-\x9f]"
PATH_DOTS = (".", "..")
_CONTROL = re.compile(CONTROL)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_INT64 = 1 << 63

EntityId = int | str
ParseId = Callable[[Any], EntityId | None]


def parser(entity: Entity) -> ParseId:
    """A function from an id in JSON, or the text of one in a path, to the id; None for what cannot be one."""
    return _integer if entity.dtype == "int64" else _text


def expected(entity: Entity) -> str:
    """What an id must be, in words."""
    if entity.dtype == "int64":
        return f"a {entity.key} is a whole number of 64 bits, without leading zeros"
    return (
        f"a {entity.key} is text of 1 to {MOST_CHARACTERS} characters, without control characters, "
        f"and neither {' nor '.join(PATH_DOTS)}"
    )


def faults_sql(column: str) -> dict[str, str]:
    """What can be wrong with the ids of a text column, each with DuckDB's condition for it."""
    dots = ", ".join(f"'{dots}'" for dots in PATH_DOTS)
    return {
        "empty": f"{column} = ''",
        f"longer than {MOST_CHARACTERS} characters": f"length({column}) > {MOST_CHARACTERS}",
        "with a control character": f"regexp_matches({column}, '{CONTROL}')",
        " or ".join(PATH_DOTS): f"{column} IN ({dots})",
    }


def _integer(value: Any) -> int | None:
    if type(value) is str:  # a path's segment, or a client whose numbers have 53 bits
        if not _INTEGER.fullmatch(value):
            return None
        value = int(value)
    if type(value) is not int or not -_INT64 <= value < _INT64:
        return None
    return value


def _text(value: Any) -> str | None:
    if type(value) is not str or not 0 < len(value) <= MOST_CHARACTERS or value in PATH_DOTS or _CONTROL.search(value):
        return None
    return value
