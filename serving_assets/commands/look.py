"""`rows` and `champion`: the rows of a table, and the model that scores, as runbooks ask for them.

Here: the commands and their queries. Not here: SQL that may be asked (catalog/read_only_sql.py), or files
(export.py).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from serving_assets.commands.options import DAY_FORMAT, JsonOption, UseCaseArgument
from serving_assets.commands.screen import console, print_json, reported_errors

look = typer.Typer(rich_markup_mode="rich")
SHOWN = 20
DAY_COLUMNS = ("day", "scored_for")


@look.command()
def rows(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="As the lake names it, such as raw/transactions.")],
    day: Annotated[datetime | None, typer.Option(formats=DAY_FORMAT, help="Only this day; default: all.")] = None,
    sql: Annotated[str, typer.Option(help="One SELECT over the table, which is called t.")] = (
        f"SELECT * FROM t LIMIT {SHOWN}"
    ),
    as_json: JsonOption = False,
) -> None:
    """Print rows of a table of the lake, or what one SELECT, in DuckDB's dialect, makes of them. Changes nothing.

    Rows that broke a source's contract stand in [bold]raw/<source>__rejected[/], with the reason.
    """
    with reported_errors():
        found = ask(table, day.date() if day else None, sql)
    print_json(found) if as_json else _print_rows(found)


@look.command()
def champion(
    use_case: UseCaseArgument,
    become: Annotated[
        str | None, typer.Option("--set", metavar="VERSION", help="The version that scores from now on.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print which version of the model scores; with --set, make another version score, such as the previous one.

    Scores that are published stay until the next run; the API follows within seconds.
    """
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.models.lifecycle.registry import CHAMPION

    with reported_errors():
        workspace = Workspace()
        registry, name = workspace.platform.registry, workspace.catalog.use_case(use_case).name
        before = registry.champion(name)
        if become is not None:
            registry.set_alias(name, CHAMPION, become)
        result = {"use_case": name, "champion": become or before, "before": before if become else None}
    if as_json:
        print_json(result)
    else:
        text = f"version {result['champion']} scores" if result["champion"] else "no version scores yet: train first"
        console.print(f"{name}: {text}" + (f"; before it was version {before}" if become else "") + ".")


def ask(table: str, day: date | None, sql: str) -> list[dict[str, Any]]:
    """The rows that `sql` makes of `table`, called t, at its newest version.

    Raises:
        InputError: when there is no such table, it has no days, or `sql` is anything but one SELECT over t.
        ServingAssetsError: when the SQL fails.
    """
    from serving_assets.catalog.read_only_sql import refuse_unless_read_only
    from serving_assets.engines.protocol import Input, Query
    from serving_assets.errors import InputError
    from serving_assets.local_runner.workspace import Workspace

    refuse_unless_read_only(sql, "t")
    platform = Workspace().platform
    stored = platform.lake.table(table)
    schema = stored.schema()
    if schema is None:
        known = ", ".join(platform.lake.tables()) or "none"
        raise InputError(f"The lake has no table {table}.", hint=f"There are: {known}.")
    column = next((name for name in DAY_COLUMNS if name in schema.names), None)
    if day is not None and column is None:
        raise InputError(f"{table} has no days.", hint="Leave --day out.")
    where = {column: day} if day is not None and column is not None else None
    return list(platform.engine.collect(Query(sql, {"t": Input(stored.scan(where))})).to_pylist())


def _print_rows(found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("No rows.")
        return
    table = Table(*found[0], box=None, header_style="bold", padding=(0, 2))
    for row in found:
        table.add_row(*(escape(str(value)) for value in row.values()))
    console.print(table)
