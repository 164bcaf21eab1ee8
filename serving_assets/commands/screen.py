"""What commands print with: the console, progress bars, JSON, and errors with their exit code.

Here: what all screens share. Not here: any one command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from serving_assets.errors import ServingAssetsError

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print an expected error as what went wrong and its fix, and exit with 1; a bug keeps its traceback."""
    try:
        yield
    except ServingAssetsError as error:
        errors.print("[bold red]Error[/]", end=" ")
        errors.print(error.message, markup=False)
        if error.hint:
            errors.print("[bold]Fix[/]  ", end=" ")
            errors.print(error.hint, markup=False)
        sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON document on standard output; dates as ISO 8601."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def progress_bar() -> Progress:
    """A bar with counts and time, on standard error, so that output can be piped."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors)
