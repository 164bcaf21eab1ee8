"""`migrate`: which columns of a table have new types, as a screen.

Here: its screen. Not here: the migration (pipeline/migration.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.commands.screen import console


def print_migrated(table: str, changed: Mapping[str, tuple[str, str]]) -> None:
    """One line a column, with the type before and the one now."""
    if not changed:
        console.print(f"{table} has the declared types already.")
    for column, (before, after) in changed.items():
        console.print(f"{table}.{column}: {before} is {after} now.")
