"""What every command stands on: settings, definitions, the Dagster instance, and the console.

Here: opening them, printing errors, exit codes. Not here: any one command.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from serving_assets.catalog.discovery import Catalog
from serving_assets.errors import ServingAssetsError
from serving_assets.pipeline.build import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import PROJECT, get_settings

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Workspace:
    """This process's definitions and instance, opened when first needed."""

    @cached_property
    def defs(self) -> dg.Definitions:
        """The Dagster definitions of the settings' catalog."""
        return build_defs()

    @property
    def platform(self) -> Platform:
        """What the stages work with."""
        found = self.defs.resources or {}
        platform = found["platform"]
        assert isinstance(platform, Platform)
        return platform

    @property
    def catalog(self) -> Catalog:
        """The declarations."""
        return self.platform.catalog

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance in DAGSTER_HOME, the project's own by default, so that the UI shows what commands ran."""
        os.environ.setdefault("DAGSTER_HOME", str(PROJECT / "dagster_home"))
        logging.getLogger("dagster").setLevel(logging.ERROR)
        return dg.DagsterInstance.get()


@contextmanager
def told_errors() -> Iterator[None]:
    """Print an expected error as what went wrong and the mend, and exit with 1; a bug keeps its traceback."""
    try:
        yield
    except ServingAssetsError as error:
        errors.print(f"[bold red]Error[/] {_escaped(error.message)}")
        if error.mend:
            errors.print(f"[bold]Mend[/]  {_escaped(error.mend)}")
        sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON document on standard output; dates as ISO 8601."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def progress_bar() -> Progress:
    """A bar with counts and time, on standard error, so that output can be piped."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors, transient=False)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
