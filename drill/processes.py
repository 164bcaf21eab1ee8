"""The live processes: code server, daemon, API, and the database behind a proxy.

Here: starting and ending them. Not here: what they are asked (watcher.py, play.py).

The code server is a process of its own, as in production: the one that a daemon starts for itself ends when it hears
nothing for twenty seconds, and moving the clock on is such a silence.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from drill.world import COMMAND, World
from serving_assets.failpoints import VARIABLE
from serving_assets.settings import PROJECT
from tests.faults.proxy import Cut, Proxy, proxy_to, undisturbed
from tests.mongo_server import own_server

T = TypeVar("T")

LOCATION = "serving_assets"
START_SECONDS = 300
TOLERANCE = {"DAGSTER_DAEMON_HEARTBEAT_TOLERANCE": str(30 * 86_400)}
"""The daemon ends itself when its clock says that one of its threads has been silent for longer."""


@dataclass
class Processes:
    """What runs on the workspace, by name."""

    world: World
    code_port: int = field(default_factory=lambda: free_port())
    api_port: int = field(default_factory=lambda: free_port())
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """Where the daemon finds the code server."""
        file = self.world.root / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": self.code_port, "location_name": LOCATION}
        file.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        return file

    def start_code_server(self, failpoint: str = "") -> None:
        """The code server, whose runs are killed at `failpoint` where one is named."""
        armed = {VARIABLE: failpoint} if failpoint else {}
        grpc = ["-m", "dagster", "api", "grpc", "-m", "serving_assets.definitions", "-h", "127.0.0.1"]
        self._start("code-server", [sys.executable, *grpc, "-p", str(self.code_port)], armed)
        self._wait_for_port("code-server", self.code_port)

    def start_daemon(self) -> None:
        """The daemon."""
        daemon = ["-m", "dagster._daemon", "run", "-w", str(self.workspace)]
        self._start("daemon", [sys.executable, *daemon], TOLERANCE)

    def start_api(self) -> None:
        """The API."""
        self._start("api", [*COMMAND, "api", "--port", str(self.api_port)])
        self._wait_for_port("api", self.api_port)

    def stop(self, *names: str) -> None:
        """End some of them with whatever they have started, or all."""
        for name in names or tuple(self.running):
            process = self.running.pop(name)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def check(self) -> None:
        """Refuse to go on when one has ended.

        Raises:
            RuntimeError: naming it.
        """
        for name, process in self.running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended; its log: {self.world.root / name}.log")

    def _start(self, name: str, command: list[str], more: dict[str, str] | None = None) -> None:
        with (self.world.root / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**os.environ, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_port(self, name: str, port: int) -> None:
        def answers() -> bool:
            self.check()
            with socket.socket() as knock:
                return knock.connect_ex(("127.0.0.1", port)) == 0

        until(answers, f"{name} answers", START_SECONDS)


class Database:
    """The online store behind a proxy, which can be made to lead nowhere."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.uri = proxy.uri

    def go_down(self) -> None:
        """Every connection ends, and so does every new one at its first command."""
        self._proxy.rule = lambda command, collection: Cut()
        self._proxy.cut_all()

    def come_back(self) -> None:
        """With all that it held."""
        self._proxy.rule = undisturbed


@contextmanager
def database() -> Iterator[Database]:
    """A MongoDB server of its own, empty at first.

    Raises:
        RuntimeError: this machine has none and cannot build one.
    """
    with own_server() as server, proxy_to(server.port) as proxy:
        yield Database(proxy)


def until(condition: Callable[[], T], what: str, seconds: float) -> T:
    """What `condition` gives once it is true.

    Raises:
        TimeoutError: when it does not come about.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not after {seconds:.0f} seconds: {what}")
        time.sleep(0.25)
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
