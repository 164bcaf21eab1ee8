"""A server that speaks the protocol of S3, as a process of its own, and the environment that leads to it.

Here: starting, filling and ending it. Not here: what is tested on it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

BUCKET = "shop"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key-of-tests",
    "AWS_SECRET_ACCESS_KEY": "secret-of-tests",
    "AWS_REGION": "eu-central-1",
}
SECONDS = 30


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which obstore and deltalake find it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ALLOW_HTTP": "true"}

    def bucket(self, name: str = BUCKET) -> S3Store:
        """A client of its own of a bucket."""
        given = self.environment
        return S3Store(
            name,
            endpoint=given["AWS_ENDPOINT_URL"],
            access_key_id=given["AWS_ACCESS_KEY_ID"],
            secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region=given["AWS_REGION"],
            client_options={"allow_http": True},
        )

    def put(self, path: str, content: bytes) -> None:
        """Write an object."""
        obstore.put(self.bucket(), path, content)

    def paths(self, prefix: str = "") -> list[str]:
        """The names of the objects below a prefix."""
        return sorted(meta["path"] for chunk in obstore.list(self.bucket(), prefix=prefix or None) for meta in chunk)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lead this process to it."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(SECONDS)


@contextmanager
def running_server(folder: Path) -> Iterator[S3Server]:
    """A server with the bucket `BUCKET`, empty."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "s3.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    server = S3Server(port, process)
    try:
        _wait(server, folder / "s3.log")
        yield server
    finally:
        server.stop()


def _wait(server: S3Server, log: Path) -> None:
    import urllib.request

    until = time.monotonic() + SECONDS
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/{BUCKET}", method="PUT")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                return
        except OSError as error:
            if time.monotonic() > until or server.process.poll() is not None:
                raise RuntimeError(f"The server does not answer: {log.read_text()[-2_000:]}") from error
            time.sleep(0.1)
