"""The `serving-assets` command in a process of its own, as a user runs it.

Here: running it over a workspace. Not here: what it must say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.nights import PRELOADED
from tests.pipeline.slice import Bench

COMMAND = [sys.executable, "-c", "from serving_assets.cli import app; app()"]
SECONDS = 500


def run(bench: Bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `serving-assets` with these arguments over the workspace; the environment's settings win over its own.

    The process is forked from one that has imported the libraries, which is most of what a short command costs.
    """
    own = {"DATA_DIR": str(bench.settings.data_dir), "DAGSTER_HOME": str(bench.root / "dagster"), "COLUMNS": "200"}
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = context.Process(target=_command, args=(arguments, {**os.environ, **own, **environment}, out, err))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        said = (file.read_text(encoding="utf-8") for file in (out, err))
        assert process.exitcode is not None
        return subprocess.CompletedProcess(["serving-assets", *arguments], process.exitcode, *said)


def _command(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> None:
    """What the child does: the command, with its output in files."""
    os.environ.clear()
    os.environ.update(environment)
    for file, stream in ((out, sys.stdout), (err, sys.stderr)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, stream.fileno())
    os.chdir(Path(__file__).parents[2])
    from serving_assets.cli import app

    sys.argv = ["serving-assets", *arguments]
    app()
