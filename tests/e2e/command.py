"""The `serving-assets` command over a workspace: in this process, or in one of its own where the process matters.

Here: running it. Not here: what it must report.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from serving_assets.cli import app
from serving_assets.settings import get_settings
from tests.faults.nights import PRELOADED
from tests.forked import ForkedCommand
from tests.pipeline.slice import Bench

SECONDS = 500


def environment_of(bench: Bench) -> dict[str, str]:
    """The settings that make a workspace the command's."""
    return {"DATA_DIR": str(bench.settings.data_dir), "DAGSTER_HOME": str(bench.root / "dagster"), "COLUMNS": "200"}


@contextmanager
def settings_of(**environment: str) -> Iterator[None]:
    """This process under other settings, and under its own again."""
    level = logging.getLogger("dagster").level
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        try:
            yield
        finally:
            get_settings.cache_clear()
            logging.getLogger("dagster").setLevel(level)


def call(bench: Bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `serving-assets` in this process; the environment's settings win over the workspace's."""
    with settings_of(**environment_of(bench) | environment):
        result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception  # a traceback, where the command is a process
    return subprocess.CompletedProcess(["serving-assets", *arguments], result.exit_code, result.stdout, result.stderr)


def run(bench: Bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `serving-assets` in a process of its own; the environment's settings win over the workspace's."""
    whole = os.environ | environment_of(bench) | environment
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        command = ForkedCommand(arguments, whole, out, err, PRELOADED)
        try:
            code = command.wait(SECONDS)
        finally:
            command.kill()
        out_text, err_text = (file.read_text(encoding="utf-8") for file in (out, err))
    return subprocess.CompletedProcess(["serving-assets", *arguments], code, out_text, err_text)
