"""The processes that serve: one, or several behind one socket, and how they end.

Here: binding, starting, replacing and stopping. Not here: what a process serves (server.py, build.py).

Whatever ends them, requests in flight are answered first, and the exit code is 0. Two things that uvicorn leaves open
are closed here: a single server would exit with the signal that it has handled, and the parent of several would go on
listening, so that a client that connects while they stop would never be answered.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from types import FrameType

from prometheus_client import multiprocess
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from serving_assets.errors import InputError, ServingAssetsError
from serving_assets.serving.telemetry.logs import JsonLog
from serving_assets.serving.telemetry.metrics import SHARED_DIR


class NotStarted(ServingAssetsError):
    """A process ended before it served."""


def run(config: Config, log: JsonLog) -> None:
    """Serve with `config` until a signal comes; the address is written to `log`.

    Raises:
        InputError: the address cannot be bound.
        NotStarted: a worker cannot start; its log line has the reason.
    """
    with bind(config.host, config.port) as listening:
        log.write("listening", address=config.host, port=listening.getsockname()[1], workers=config.workers)
        if config.workers > 1:
            workers = Workers(config, [listening])
            workers.run()
            started = all(process.exitcode != STARTUP_FAILURE for process in workers.processes)
        else:
            server = OneServer(config)
            server.run([listening])
            started = server.started
    if not started:
        raise NotStarted("The API did not start.", hint="The log lines above name the reason.")


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`, which listens as soon as a server takes it.

    Raises:
        InputError: that is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise InputError(
            f"Port {port} of {host} cannot be bound: {why}.", hint="Choose another with --port."
        ) from error
    bound.set_inheritable(True)
    return bound


class OneServer(Server):
    """A server that ends well when a signal asks it to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish what is in flight; at a second Ctrl-C, do not."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


class Workers(Multiprocess):
    """Several servers; one that dies is replaced."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, and take their gauges out of the sums."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for gone in before - {process.pid for process in self.processes}:
            if gone is not None:
                multiprocess.mark_process_dead(gone, os.environ[SHARED_DIR])  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """Refuse new connections from now on, and let all finish."""
        super().terminate_all()
        for listening in self.sockets:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
