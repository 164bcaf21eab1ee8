"""`migrate`: a table gets the column types that are declared now.

Here: the command and its screen. Not here: the migration (pipeline/migration.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors

migrate_app = typer.Typer()


@migrate_app.command()
def migrate(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Its name in the lake, such as raw/transactions.")],
    as_json: JsonOption = False,
) -> None:
    """Give a raw, mapped or features table the column types that are declared now, in one commit.

    Refused when a value would change, with the number of such rows; then give the column of the new type a new name.
    """
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.migration import migrate_table

    with reported_errors():
        changed = migrate_table(Workspace().platform, table)
        if as_json:
            print_json({"table": table, "changed": changed})
            return
        if not changed:
            console.print(f"{table} has the declared types already.")
        for column, (before, after) in changed.items():
            console.print(f"{table}.{column}: {before} is {after} now.")
