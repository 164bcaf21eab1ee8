"""What HTTP itself promises: connections that stay open, HEAD, OPTIONS, and pages of other origins."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from serving_assets.serving.http.keys import create_key
from tests.serving.test_hostile import raw
from tests.serving.world import BUYS, ROOT, World

ONE = f"{ROOT}/{BUYS}/predictions/7"
SHOP = "https://shop.example"


@pytest.fixture
def line(world: World) -> Iterator[http.client.HTTPConnection]:
    """A connection that a client keeps open."""
    with closing(http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)) as connection:
        connection.connect()
        yield connection


def ask(line: http.client.HTTPConnection, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """One request, its answer not read yet."""
    line.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return line.getresponse()


def test_a_connection_serves_many_requests(line: http.client.HTTPConnection) -> None:
    """Answers of every kind, with and without a body, leave the connection open for the next request."""
    socket = line.sock
    for _ in range(10):
        found = ask(line, "GET", ONE)
        etag = found.headers["etag"]
        assert (found.status, found.read()[:1]) == (200, b"{")
        assert ask(line, "GET", ONE, if_none_match=etag).read() == b""
        for method, path, status in (("HEAD", ONE, 200), ("GET", "/nowhere", 404), ("DELETE", ONE, 405)):
            answer = ask(line, method, path)
            answer.read()
            assert answer.status == status
    assert line.sock is socket


def test_whoever_wants_no_further_answer_is_obeyed(world: World) -> None:
    """HTTP/1.0 and `connection: close` end the connection with the answer."""
    for head in (b"HTTP/1.0\r\n", b"HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"):
        assert raw(world, b"GET /livez " + head + b"\r\n").endswith(b'{"status":"ok"}')


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """Requests sent before the first answer is read get theirs in the order of the questions."""
    heads = [b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % path for path in (b"/livez", ONE.encode(), b"/nowhere")]
    found = raw(world, b"".join(heads) + b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"200", b"404", b"200"]
    assert re.findall(rb'"entity_id":(\d+)', found) == [b"7"]


@pytest.mark.parametrize("path", [ONE, "/livez", "/docs", "/openapi.json", "/nowhere", "/metrics"])
def test_head_is_get_without_the_body(line: http.client.HTTPConnection, path: str) -> None:
    """HEAD gives the status and headers that GET gives, and no body."""
    changing = {"date", "x-request-id", "cache-control", *(["content-length"] if path == "/metrics" else [])}
    kept = []
    for method in ("GET", "HEAD"):
        answer = ask(line, method, path)
        body = answer.read()
        assert bool(body) == (method == "GET")
        length = answer.headers["content-length"]
        kept.append((answer.status, {n: v for n, v in answer.headers.items() if n not in changing}))
        assert length.isdigit() and int(length) > 0
    assert kept[0] == kept[1] or path == "/nowhere"


@pytest.mark.parametrize(("path", "allowed"), [(ONE, "GET, HEAD"), (f"{ROOT}/{BUYS}/score", "POST")])
@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_told_which_there_are(world: World, path: str, allowed: str, method: str) -> None:
    """A method that a route does not take gets 405 with those that it takes."""
    answer = world.ask(method, path, headers={"origin": SHOP, "access-control-request-method": "GET"})
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_pages_of_configured_origins_may_ask(own_world: World) -> None:
    """Pages of configured origins may ask, and read errors too; other pages may not, and a key is still needed."""
    _, secret = create_key(own_world.data / "api-keys.json", "page", [BUYS], rate=None, days=None)
    with own_world.served(API_CORS_ORIGINS=f"{SHOP}, https://other.example") as world:
        preflight = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
        answer = world.ask("OPTIONS", f"{ROOT}/{BUYS}/score", headers={"origin": SHOP, **preflight})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, SHOP)
        assert "x-api-key" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        found = world.get(ONE, origin=SHOP, x_api_key=secret)
        assert (found.status, found.headers["access-control-allow-origin"]) == (200, SHOP)
        assert "etag" in found.headers["access-control-expose-headers"]
        refused = world.get(ONE, origin=SHOP)
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, SHOP)
        for answer in (found, refused):
            assert "origin" in answer.headers["vary"]
            assert "access-control-allow-credentials" not in answer.headers
        evil = "https://shop.example.evil.example"
        assert world.ask("OPTIONS", ONE, headers={"origin": evil, **preflight}).status == 403
        assert "access-control-allow-origin" not in world.get(ONE, origin=evil, x_api_key=secret).headers
        plain = world.ask("OPTIONS", ONE, headers={"x-api-key": secret})
        assert (plain.status, plain.headers["allow"]) == (405, "GET, HEAD")


def test_every_origin_may_be_allowed(own_world: World) -> None:
    """With `*` pages of any origin may ask and read, and none of them is given leave to send credentials."""
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with own_world.served(API_CORS_ORIGINS="*") as world:
        for origin in (SHOP, "https://other.example", "null"):
            asked = world.ask("OPTIONS", f"{ROOT}/{BUYS}/score", headers={"origin": origin, **preflight})
            found = world.get(ONE, origin=origin)
            for answer, status in ((asked, 204), (found, 200)):
                assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")
                assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in world.get(ONE).headers


def test_origins_are_understood_as_people_write_them(own_world: World) -> None:
    """An origin with capitals, its default port and a slash at the end is the one that browsers send."""
    preflight = {"access-control-request-method": "GET"}
    with own_world.served(API_CORS_ORIGINS="HTTPS://Shop.Example:443/") as world:
        asked = world.ask("OPTIONS", ONE, headers={"origin": SHOP, **preflight})
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, SHOP)
        assert world.get(ONE, origin=SHOP).headers["access-control-allow-origin"] == SHOP


def test_an_idle_connection_is_closed_after_the_set_time(own_world: World) -> None:
    """A connection that is idle stays open for a while, and is closed by the server in the end."""
    with (
        own_world.served(API_KEEP_ALIVE_SECONDS="1") as world,
        closing(http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)) as line,
    ):
        assert ask(line, "GET", "/livez").read()
        assert line.sock.recv(1) == b""


def test_a_bad_setting_stops_the_start_by_name(own_world: World) -> None:
    """The server does not start with a value that cannot be meant, and names the setting."""
    with pytest.raises(AssertionError, match="API_CORS_ORIGINS"), own_world.served(API_CORS_ORIGINS="shop.example"):
        pass
