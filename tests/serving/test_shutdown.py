"""How a server ends: everyone who was let in is answered, nobody else is let in, and the exit code is 0."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from serving_assets.serving.server import SHUTDOWN_SECONDS
from tests.serving.world import BUYS, ROOT, World, soon

pytestmark = pytest.mark.long

BODY = json.dumps({"ids": list(range(1, 300))}).encode()
HEAD = (
    f"POST {ROOT}/{BUYS}/predictions:batchGet HTTP/1.1\r\nhost: localhost\r\n"
    f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
).encode()
IN_FLIGHT = 40


@contextmanager
def connections(world: World, number: int) -> Iterator[list[socket.socket]]:
    """So many connections."""
    opened = [socket.create_connection(("127.0.0.1", world.port), timeout=30) for _ in range(number)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def whole(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            found += piece
    return found


def refused(port: int) -> bool:
    """Whether nobody listens any more."""
    with socket.socket() as probe:
        probe.settimeout(30)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def read_by_the_server(port: int) -> list[bool]:
    """Of each connection that the server has, whether all that was sent has been read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [line for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    return [line[4].endswith(":00000000") for line in own]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_in_flight_are_answered(own_world: World, workers: str) -> None:
    """After SIGTERM whoever has begun to ask is answered, new connections are refused, and the exit code is 0."""
    with own_world.served("--workers", workers) as world, connections(world, IN_FLIGHT) as opened:
        process = world.process
        assert process is not None
        middle = IN_FLIGHT // 2
        for connection in opened[:middle]:
            connection.sendall(HEAD + BODY[:100])
        for connection in opened[middle:]:
            connection.sendall(HEAD[:60])
        assert soon(lambda: read_by_the_server(world.port) == [True] * IN_FLIGHT)
        process.send_signal(signal.SIGTERM)
        assert soon(lambda: refused(world.port))
        assert process.poll() is None
        for connection in opened[:middle]:
            connection.sendall(BODY[100:])
        for connection in opened[middle:]:
            connection.sendall(HEAD[60:] + BODY)
        for connection in opened:
            head, _, body = whole(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            assert len(json.loads(body)["items"]) == 299
        assert process.wait(3 * SHUTDOWN_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobody_keeps_a_server_from_ending(own_world: World, workers: str) -> None:
    """Idle connections, old or new, and a second signal change nothing: the exit code is 0, within the grace time."""
    with own_world.served("--workers", workers) as world, connections(world, 10) as opened:
        process = world.process
        assert process is not None
        for connection in opened[:5]:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while not connection.recv(65_536).endswith(b'{"status":"ok"}'):
                pass
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        assert process.wait(3 * SHUTDOWN_SECONDS) == 0
        assert [whole(connection) for connection in opened] == [b""] * 10
    assert not any(line["event"] == "bug" or line.get("traceback") for line in world.log())


def test_a_port_that_is_taken_is_told(own_world: World) -> None:
    """Whoever starts a second server on a port learns in words what is wrong."""
    with own_world.served() as world:
        with (
            pytest.raises(AssertionError, match="cannot be bound"),
            World(world.data, world.catalog).served("--port", str(world.port)),
        ):
            pass
        assert world.get("/livez").status == 200
