"""The `serving-assets` command in a process of its own, as a user runs it.

Here: running it over a workspace. Not here: what it must say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pipeline.slice import Bench

COMMAND = [sys.executable, "-c", "from serving_assets.cli import app; app()"]


def run(bench: Bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `serving-assets` with these arguments over the workspace; the environment's settings win over its own."""
    own = {"DATA_DIR": str(bench.settings.data_dir), "DAGSTER_HOME": str(bench.root / "dagster"), "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **own, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
