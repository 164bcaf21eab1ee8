"""`export`: published predictions as a file.

Here: the command and its line. Not here: the file (pipeline/publishing/export.py).
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serving_assets.commands.options import JsonOption, UseCaseArgument
from serving_assets.commands.screen import console, print_json, reported_errors

export_app = typer.Typer(rich_markup_mode="rich")


class Format(StrEnum):
    """Formats of an exported file."""

    csv = "csv"
    parquet = "parquet"


@export_app.command()
def export(
    use_case: UseCaseArgument,
    form: Annotated[Format, typer.Option("--format", help="Format of the file.")] = Format.csv,
    out: Annotated[
        Path | None, typer.Option(help="The file; default: <use case>-<generation>.<format> in this folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the published predictions of a use case to a CSV or Parquet file: exactly the rows that readers get.

    A file of that name is replaced when the new one is complete.
    """
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.publishing.export import export as write

    with reported_errors():
        workspace = Workspace()
        done = write(workspace.platform, workspace.catalog.use_case(use_case), form.value, out)
    if as_json:
        print_json(asdict(done))
    else:
        result = f"{done.rows:,} rows of generation {done.generation}, as of {done.as_of}: {done.file}"
        console.print(result, markup=False, emoji=False, soft_wrap=True)
