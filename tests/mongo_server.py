"""The MongoDB that the tests use: found, started as a process of its own, named in pytest's header.

Here: which server, and its life. Not here: tests, or anything about the store.

The first that is there of: the deployment at MONGODB_URI (tests make and drop databases of their own there), a `mongod`
on the PATH, and the wire-protocol server that scripts/mongodb-server builds with Java and Maven.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pytest
from pymongo import MongoClient

KEPT = "TESTS_MONGODB_URI"
"""MONGODB_URI itself is hidden from the tests, so that none publishes to a developer's own database."""

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "mongodb-server"
START_SECONDS = 60


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Keep MONGODB_URI for the tests that ask for a server, also for those in other processes."""
    if uri := os.environ.pop("MONGODB_URI", ""):
        os.environ[KEPT] = uri


def pytest_report_header() -> str:
    """Say which server the tests will use."""
    if os.environ.get(KEPT):
        return "MongoDB: the deployment at MONGODB_URI"
    return f"MongoDB: {_own()[1]}"


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[str]:
    """The URI of a server for all tests of this process; they keep apart by the names of their databases."""
    if uri := os.environ.get(KEPT):
        yield uri
        return
    with own_server() as process:
        yield process.uri


@pytest.fixture
def mongodb_database(mongodb_uri: str) -> Iterator[str]:
    """The URI of a database of its own for one test; it is dropped afterwards."""
    name = f"tests_{uuid4().hex[:16]}"
    address, mark, options = mongodb_uri.partition("?")
    names_one = address.rstrip("/").count("/") > 2
    assert not names_one, "MONGODB_URI must name no database (but authSource): the tests make their own"
    yield f"{address.rstrip('/')}/{name}{mark}{options}"
    with MongoClient[dict[str, object]](mongodb_uri) as client:
        client.drop_database(name)


class ServerProcess:
    """A server that belongs to one test, empty at first, and may be killed by it."""

    def __init__(self, uri: str, process: subprocess.Popen[str]) -> None:
        self.uri = uri
        self.port = int(uri.rpartition(":")[2])
        self._process = process

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self._process.kill()
        self._process.wait(START_SECONDS)


@contextmanager
def own_server() -> Iterator[ServerProcess]:
    """Start a server on a free port of 127.0.0.1; the test is skipped where there is none."""
    kind, what = _own()
    if not kind:
        pytest.skip(f"No MongoDB: {what}")
    with tempfile.TemporaryDirectory(prefix="serving-assets-mongod-", ignore_cleanup_errors=True) as folder:
        server = _start_mongod(what, folder) if kind == "mongod" else _start_wire_server()
        try:
            yield server
        finally:
            server.kill()


@lru_cache(maxsize=1)
def _own() -> tuple[str, str]:
    """The kind of server that can be started, '' for none, and what to say of it."""
    if mongod := shutil.which("mongod"):
        return "mongod", mongod
    missing = [tool for tool in ("java", "mvn") if not shutil.which(tool)]
    if missing:
        return "", f"no MONGODB_URI, no mongod, no {' and no '.join(missing)}: the tests that need a server are skipped"
    return "wire", "the wire-protocol server of scripts/mongodb-server"


def _start_wire_server() -> ServerProcess:
    built = subprocess.run([SCRIPT, "--build"], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"No MongoDB: {SCRIPT.name} --build failed: {(built.stdout + built.stderr).strip()[-500:]}")
    process = subprocess.Popen(
        [SCRIPT, "--test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    uri = process.stdout.readline().strip()
    assert uri, "scripts/mongodb-server --test ended at once"
    return ServerProcess(uri, process)


def _start_mongod(mongod: str, folder: str) -> ServerProcess:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [mongod, "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    uri = f"mongodb://127.0.0.1:{port}"
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
        client.admin.command("ping")
    return ServerProcess(uri, process)
