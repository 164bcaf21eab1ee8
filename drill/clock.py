"""The time at which the drill takes place: ahead of the machine's, and moved on while nothing happens.

Here: the moving, and the environment that brings a process to that time. Not here: when it may be moved (play.py).

Only the time of day is moved. A run takes as long as it takes; what is skipped is waiting.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
VARIABLE = "DRILL_CLOCK"
SECOND = 10**9


class Clock:
    """A clock that is kept in a file; processes with its `environment` live by it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.library = file.with_suffix(".so")

    def build(self) -> None:
        """Make the library that processes preload.

        Raises:
            FileNotFoundError: there is no C compiler.
        """
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("The drill needs a C compiler; on Debian and Ubuntu: apt-get install gcc libc6-dev")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", self.library, SOURCE, "-ldl"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process must be started with."""
        return {"LD_PRELOAD": str(self.library), VARIABLE: str(self.file)}

    def set(self, at: datetime, real: float) -> None:
        """Let it be `at` when the machine's clock, in seconds since 1970, says `real`."""
        self._write(int((at.timestamp() - real) * SECOND))

    def real(self) -> float:
        """What the machine's clock says, in seconds since 1970, in a process that lives by this one."""
        return time.time() - self._ahead() / SECOND

    def leap(self, seconds: float) -> None:
        """Move it on."""
        self._write(self._ahead() + int(seconds * SECOND))

    def leap_to(self, at: datetime) -> None:
        """Move it on to `at`, by the clock of this process, which lives by it; never back."""
        self.leap(max(0.0, at.timestamp() - time.time()))

    def now(self) -> datetime:
        """What it says, in a process that lives by it."""
        return datetime.now(UTC)

    def _ahead(self) -> int:
        (ahead,) = struct.unpack("q", self.file.read_bytes())
        return int(ahead)

    def _write(self, ahead: int) -> None:
        """In one write of eight bytes into the page that the others have mapped; the file is never replaced."""
        with self.file.open("r+b" if self.file.exists() else "w+b") as file:
            file.write(struct.pack("q", ahead))
