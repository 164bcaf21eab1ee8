"""`serving-assets` in a process that is forked from one which has imported the libraries.

Here: starting it, and waiting for it as for a `subprocess.Popen`. Not here: what it must do. Starting Python and
importing costs a second and more, which is most of what a short command or a small server computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


class ForkedCommand:
    """The command with these arguments and no other environment than this one; it writes to two files."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path, preload: Sequence[str]
    ) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(list(preload))
        self._arguments = tuple(arguments)
        self._process = context.Process(target=_command, args=(self._arguments, dict(environment), out, err))
        self._process.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs, and the negative signal that killed it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()


def _command(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> None:
    """What the child does: the command, with its output in files."""
    os.environ.clear()
    os.environ.update(environment)
    for file, stream in ((out, sys.stdout), (err, sys.stderr)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, stream.fileno())
    os.chdir(PROJECT)
    from serving_assets.cli import app
    from serving_assets.settings import get_settings

    get_settings.cache_clear()
    sys.argv = ["serving-assets", *arguments]
    app()
