"""Which columns of which tables identify the person a row is about.

Here: reading it off names and lineage. Not here: rows, or their erasure (pipeline/privacy/).
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.catalog.tables import Table


def key_columns(tables: Mapping[str, Table], key: str) -> dict[str, frozenset[str]]:
    """By lake name, the columns that hold the entity key `key`: those of its name, and those that they are made of.

    A source may name the key differently from the mapped tables; lineage connects the two. A table that is not named
    here holds the key in a column of its name, or not at all.
    """
    found: dict[str, set[str]] = {name: {key} & set(table.columns) for name, table in tables.items()}
    for name, table in reversed(list(tables.items())):
        for column in found[name]:
            for origin, its_column in (table.lineage or {}).get(column, ()):
                found[origin].add(its_column)
    return {tables[name].lake_name: frozenset(columns) for name, columns in found.items()}
