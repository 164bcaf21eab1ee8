"""Load on one HTTP server: the server pinned to one core, wrk to the other.

Here: processes, pinning, wrk and its report, memory. Not here: which servers and requests (api.py), or tables.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

LUA = Path(__file__).with_name("load.lua")
SERVER_CORE, LOAD_CORE = "0", "1"
WARM_SECONDS = 2
START_SECONDS = 120


class Ask(NamedTuple):
    """One request; `body` is JSON text, or empty for a GET."""

    path: str
    body: str = ""

    @property
    def line(self) -> str:
        """As load.lua reads it."""
        return f"{'POST' if self.body else 'GET'}\t{self.path}\t{self.body}\n"


class Report(NamedTuple):
    """What wrk measured: requests a second, and percentiles in milliseconds."""

    rate: float
    p50: float
    p99: float


class Server:
    """A server process with all its children."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port

    def ask(self, ask: Ask) -> Any:
        """One answer, as JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{ask.path}", ask.body.encode() or None, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def measure(self, asks: Sequence[Ask], *, connections: int, seconds: int) -> Report:
        """The load of `asks` in turn, after a warm-up with the same.

        Raises:
            RuntimeError: a request was refused or not answered; a rate of errors is no rate.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.writelines(ask.line for ask in asks)
            file.flush()
            self._wrk(file.name, connections, WARM_SECONDS)
            report = self._wrk(file.name, connections, seconds)
        if report["unanswered"] or report["refused"]:
            raise RuntimeError(f"not all were answered: {report}")
        return Report(report["requests"] / report["seconds"], report["p50"], report["p99"])

    def _wrk(self, file: str, connections: int, seconds: int) -> dict[str, Any]:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(LUA)]
        address = f"http://127.0.0.1:{self.port}"
        pinned = ["taskset", "-c", LOAD_CORE, *command, address, "--", file]
        done = subprocess.run(pinned, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(re.findall(r"^REPORT (.*)$", done.stdout, flags=re.M)[0])
        return found

    def peak(self) -> float:
        """The most memory that its processes have had, MiB, added up."""
        pids, at = [self._process.pid], 0
        while at < len(pids):
            children = Path(f"/proc/{pids[at]}/task/{pids[at]}/children")
            pids += [int(pid) for pid in children.read_text().split()]
            at += 1
        statuses = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
        return sum(int(found) for status in statuses for found in re.findall(r"VmHWM:\s+(\d+)", status)) / 1024


def free_port() -> int:
    """A free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    command: Sequence[str], port: int, ready: str, *, environment: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[Server]:
    """The server that `command` starts, pinned, from when GET `ready` is answered; a group of its own, ended as one.

    Raises:
        RuntimeError: it did not start.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *command],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
            cwd=cwd,
            start_new_session=True,
        )
        try:
            _wait(f"http://127.0.0.1:{port}{ready}", process, log)
            yield Server(process, port)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
