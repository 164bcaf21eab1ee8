"""Clients that mean harm, or do it: refused early, cheaply, and without an echo."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.serving.world import BUYS, ROOT, World, soon

BATCH = f"{ROOT}/{BUYS}/predictions:batchGet"
SECRET = b"ECHOECHO"


def raw(world: World, data: bytes, *, seconds: float = 30.0) -> bytes:
    """Everything a connection gives back for some bytes, until the server closes it."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=seconds) as connection:
        found = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65_536):
                found += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return found


@pytest.mark.parametrize(
    "body",
    [
        b'{"ids":[NaN]}',
        b'{"ids":[Infinity]}',
        b'{"ids":[1e999]}',
        b'{"ids":["\\ud800"]}',
        b'{"ids":["\xff\xfe"]}',
        b"[" * 100_000,
        b'{"ids":' * 100_000,
        b'{"ids":[{"$gt":""}]}',
        b'{"ids":[1],"ECHOECHO":1}',
        b"\xef\xbb\xbf{}",
        b"",
        b"ECHOECHO",
        b"[]",
        b"null",
        b'{"ids":[1,]}',
        b"\x00" * 1000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_no_request_are_refused(world: World, body: bytes) -> None:
    """Whatever stands in a body, the answer is a 400 that does not repeat it."""
    for path in (BATCH, f"{ROOT}/{BUYS}/score"):
        answer = world.ask("POST", path, body)
        assert answer.status in (400, 422) or (answer.status == 200 and body == b"")
        assert SECRET not in answer.body


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken(world: World, kind: str) -> None:
    """A body of another type is refused, so that no plain form of another site can send one."""
    assert world.ask("POST", BATCH, b'{"ids":[1]}', {"content-type": kind}).status == 415


def test_a_large_body_is_refused_before_it_is_read(world: World) -> None:
    """A body above the limit is refused by its declared length, or where it passes it, in bounded memory."""
    before = world.memory()
    head = f"POST {BATCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    declared = raw(world, f"{head}content-length: 52428800\r\nconnection: close\r\n\r\n".encode())
    assert declared.startswith(b"HTTP/1.1 413")
    chunk = b"10000\r\n" + b"1" * 65_536 + b"\r\n"
    chunked = raw(world, f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunk * 800)
    assert chunked == b"" or chunked.startswith(b"HTTP/1.1 413")
    two_million = json.dumps({"ids": list(range(2_000_000))}).encode()
    assert raw(world, f"{head}content-length: {len(two_million)}\r\n\r\n".encode()).startswith(b"HTTP/1.1 413")
    assert world.memory() - before < 50 * 2**20


def test_a_body_that_comes_too_slowly_is_its_clients_fault(world: World) -> None:
    """A request whose body is not here within its time gets 408, not a 5xx, and its connection is closed."""
    head = f"POST {BATCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n"
    found = raw(world, head.encode() + b'{"ids":')
    assert found.startswith(b"HTTP/1.1 408")
    assert b"#request-timeout" in found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"x: " + b"a" * 200_000 + b"\r\n\r\n", b"431"),
        (b"".join(b"x-%d: 1\r\n" % i for i in range(300)) + b"\r\n", b"431"),
        (b"x: " + b"a" * 3_000_000, b"431"),
        (b"bad header\r\n\r\n", b"400"),
        (b"content-length: 5\r\ncontent-length: 6\r\n\r\n", b"400"),
        (b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
        (b"content-length: -1\r\n\r\n", b"400"),
    ],
)
def test_heads_are_bounded_and_exact(world: World, head: bytes, status: bytes) -> None:
    """Too many, too large or ambiguous headers end the connection with a problem."""
    found = raw(world, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + head)
    assert found == b"" or found.startswith(b"HTTP/1.1 " + status)
    assert world.get("/livez").status == 200


def test_one_piece_of_many_requests_is_refused(world: World) -> None:
    """A client that sends thousands of requests without reading an answer loses its connection."""
    found = raw(world, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5_000)
    assert found.count(b"HTTP/1.1 200") < 100
    assert world.get("/livez").status == 200


def test_slow_heads_do_not_keep_others_out(world: World) -> None:
    """Hundreds of connections that never finish a head leave the server answering, and are closed in time."""
    idle = [socket.create_connection(("127.0.0.1", world.port), timeout=30) for _ in range(300)]
    try:
        for connection in idle:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: ")
        began = time.monotonic()
        assert world.look_up(BUYS, 7).status == 200
        while time.monotonic() - began < 60:
            idle[0].sendall(b"x")
            time.sleep(0.5)
    except (ConnectionResetError, BrokenPipeError):
        assert time.monotonic() - began < 60
    else:
        pytest.fail("a head that never ended kept its connection")
    finally:
        for connection in idle:
            connection.close()


def test_another_sites_name_for_this_machine_is_refused(world: World) -> None:
    """A server without keys answers only to this machine's own names, whatever name resolves to it."""
    assert world.get("/v1/use-cases", host="attacker.example").status == 421
    for name in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert world.get("/v1/use-cases", host=name).status == 200


@pytest.mark.parametrize("name", ["host", "authorization", "x-api-key"])
def test_who_asks_whom_is_said_once(world: World, name: str) -> None:
    """Two values, of which a proxy may have looked at the other one, are refused in any order."""
    path = f"{ROOT}/{BUYS}/predictions/7"
    for values in (("localhost", "ECHOECHO"), ("ECHOECHO", "localhost")):
        twice = "".join(f"{name}: {value}\r\n" for value in values)
        host = "" if name == "host" else "host: localhost\r\n"
        found = raw(world, f"GET {path} HTTP/1.1\r\n{host}{twice}connection: close\r\n\r\n".encode())
        assert found.startswith(b"HTTP/1.1 400")
        assert SECRET not in found
    repeated = "host: localhost\r\naccept: a/b\r\naccept: c/d\r\nconnection: close\r\n\r\n"
    assert raw(world, f"GET {path} HTTP/1.1\r\n{repeated}".encode()).startswith(b"HTTP/1.1 200")


def test_no_page_of_another_origin_may_read(world: World) -> None:
    """CORS is off unless it is configured."""
    answer = world.get(f"{ROOT}/{BUYS}/predictions/7", origin="https://shop.example")
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_names_of_requests_are_kept_or_made(world: World) -> None:
    """A well-formed request id is kept, any other replaced; the trace is in the log, the id of the entity is not."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    path = f"{ROOT}/{BUYS}/predictions/424242"
    kept = world.get(path, x_request_id="my-id.1", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert kept.headers["x-request-id"] == "my-id.1"
    assert world.get(path, x_request_id="<script>").headers["x-request-id"] != "<script>"

    def logged() -> list[dict[str, object]]:
        return [line for line in world.log() if line.get("request_id") == "my-id.1"]

    assert soon(logged)
    (line,) = logged()
    assert (line["trace_id"], line["route"], line["status"]) == (
        trace,
        "/v1/use-cases/{use_case}/predictions/{entity_id}",
        404,
    )
    assert "424242" not in json.dumps(world.log())
