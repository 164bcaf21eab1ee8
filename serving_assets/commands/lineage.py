"""`lineage`: from which columns of which tables a column is computed.

Here: the command and its screen. Not here: following the lineage (pipeline/observing/column_lineage.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors

if TYPE_CHECKING:
    from serving_assets.pipeline.observing.column_lineage import Origin

lineage_app = typer.Typer(rich_markup_mode="rich")


@lineage_app.command()
def lineage(
    table: Annotated[
        str, typer.Argument(metavar="TABLE[.COLUMN]", help="Such as purchase_propensity/features.spend_28d.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show from which columns a table's columns, or one of them, are computed, up to the landed files.

    A column that only selects rows, in WHERE or JOIN, is no origin. The declarations and the SQL are read, no table is.
    """
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.observing.column_lineage import origins

    asset, _, column = table.partition(".")
    with reported_errors():
        found = origins(Workspace().defs, asset, column or None)
    if as_json:
        print_json([asdict(origin) for origin in found])
        return
    shown: set[Origin] = set()
    for line in (line for origin in found for line in lines(origin, shown)):
        console.print(line, markup=False)


def lines(origin: Origin, shown: set[Origin], depth: int = 0) -> Iterator[str]:
    """A line for a column, and one below it, further to the right, for each column that it is computed from.

    Origins that are in `shown` already are not repeated.
    """
    again = bool(origin.comes_from) and origin in shown
    yield f"{'  ' * depth}{origin.asset}.{origin.column}{' (see above)' if again else ''}"
    shown.add(origin)
    for above in () if again else origin.comes_from:
        yield from lines(above, shown, depth + 1)
