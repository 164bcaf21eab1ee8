"""SQL that a person types to look at a table: one SELECT that reads this table and nothing else.

Here: the proof, on DuckDB's own parse of the text. Not here: SQL of declarations (sql.py), or running it (engines/).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serving_assets.errors import InputError, listed

GENERATORS = frozenset({"generate_series", "generate_subscripts", "json_each", "json_tree", "range", "unnest"})
"""Table functions that make rows of their arguments; all others read files, databases or settings."""


def refuse_unless_read_only(sql: str, table: str) -> None:
    """Prove that `sql` is one SELECT over `table`, by its plain name, and over what it makes of it.

    Raises:
        InputError: it does not parse, is another statement (COPY, ATTACH, INSTALL, PRAGMA ...) or several, or reads
            anything else: a file, a table function such as read_csv, a table of another name.
    """
    hint = f"Write one SELECT over {table}; to write a file: serving-assets export."
    parsed = _parsed(sql)
    if parsed["error"]:
        raise InputError(f"The SQL is not one SELECT: {parsed['error_message']}", hint=hint)
    if len(parsed["statements"]) != 1:
        raise InputError(f"The SQL has {len(parsed['statements'])} statements.", hint=hint)
    nodes = list(_nodes(parsed["statements"][0]))
    own = {entry["key"].lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    if odd := sorted(name for name in own if not name.isidentifier()):
        raise InputError(f"The SQL names a subquery {odd[0]!r}.", hint="Use letters, digits and underscores.")
    foreign = [name for node in nodes if (name := _source(node)) and name.lower() not in own | GENERATORS | {table}]
    if foreign:
        raise InputError(f"The SQL reads {listed(foreign)}, and may only read {table}.", hint=hint)


def _parsed(sql: str) -> dict[str, Any]:
    import duckdb

    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchone()
    assert row is not None
    return dict(json.loads(row[0]))


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _nodes(each)


def _source(node: dict[str, Any]) -> str:
    """What a node reads; empty for one that reads nothing."""
    if node.get("type") == "TABLE_FUNCTION":
        return str(node["function"]["function_name"])
    if node.get("type") == "BASE_TABLE":
        return ".".join(node["qualified_name"]["path"])
    return ""
