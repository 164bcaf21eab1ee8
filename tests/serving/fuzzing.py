"""Requests by the thousand: what the OpenAPI document describes, what it forbids, and what is no request at all.

Here: making them, and counting what comes back. Not here: how many, and what is expected of the count (test_fuzz.py,
benchmarks/fuzz.py).
"""

from __future__ import annotations

import errno
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.world import BUYS, ROOT, TOWN, World

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
DELIBERATE = {503, 504}
"""The only errors of the server that are answers."""
CLOSED = 0
"""Counted as a status: the server has closed the connection without an answer, as it does with what is no HTTP."""
KEYLESS_EVERY = 5
MEGABYTE = 1 << 20


class Fuzz:
    """Asks `world` and counts what comes back; with `key`, every fifth documented request still goes without it."""

    def __init__(self, world: World, key: str = "") -> None:
        self._world, self._key = world, key
        self.documented: Counter[int] = Counter()
        self.hostile: Counter[int] = Counter()
        self._session = requests.Session()

    def ask_documented(self, number: int) -> None:
        """At least so many requests as the OpenAPI document describes or forbids; each answer must be as it says."""
        headers = {"x-api-key": self._key} if self._key else {}
        address = f"http://127.0.0.1:{self._world.port}/openapi.json"
        schema = schemathesis.openapi.from_url(address, headers=headers)
        operations = [found.ok() for found in schema.get_all_operations()]
        assert {"/livez", "/v1/use-cases"} <= {operation.path for operation in operations}
        each = max(number // (3 * len(operations)), 5)
        while self.documented.total() < number:
            for mode in GenerationMode:
                for operation in operations:
                    self._ask_operation(operation, mode, each)

    def _ask_operation(self, operation: Any, mode: GenerationMode, number: int) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=number, database=None, verbosity=Verbosity.quiet, suppress_health_check=list(HealthCheck)
        )
        def answers(case: Any) -> None:
            keyless = not self._key or self.documented.total() % KEYLESS_EVERY == 0
            answer = case.call(session=self._session, headers=None if keyless else {"x-api-key": self._key})
            self.documented[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        with suppress(Unsatisfiable):  # an operation that takes nothing cannot be asked wrongly
            answers()

    def ask_hostile(self, number: int) -> None:
        """So many requests that mean harm, each on a connection of its own."""
        key = f"x-api-key: {self._key}\r\n".encode() if self._key else b""
        for pieces, _ in zip(cycle([[*one] for one in hostile(key)]), range(number), strict=False):
            self.hostile[self._status(pieces)] += 1

    def _status(self, pieces: list[bytes]) -> int:
        with socket.create_connection(("127.0.0.1", self._world.port), timeout=30) as connection:
            found = b""
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
            except OSError as error:  # the server may answer and close before it was told everything
                if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                    raise
            with suppress(ConnectionResetError):
                while piece := connection.recv(65_536):
                    found += piece
        return int(found[9:12]) if found.startswith(b"HTTP/1.1 ") else CLOSED


def hostile(key: bytes) -> Iterator[list[bytes]]:
    """Requests that are known to break servers, each in pieces as they are sent; `key` is a header line or nothing."""
    for body in bodies():
        for what in ("predictions:batchGet", "score"):
            head = f"POST {ROOT}/{BUYS}/{what} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            yield [head.encode() + key + b"content-length: %d\r\n\r\n" % len(body), body]
    for use_case in (BUYS, TOWN):
        for id in (b"%7B%22%24gt%22%3A%22%22%7D", b"$gt", b"../../etc/passwd", b"..%2f..%2fetc%2fpasswd", *PATHS):
            yield [_get(f"{ROOT}/{use_case}/predictions/".encode() + id, key)]
    for path in (b"/docs/assets/..%2f..%2f..%2fetc%2fpasswd", b"/../../etc/passwd", b"//", b"*", b"/" * 5_000):
        yield [_get(path, key)]
    yield [_get(b"/livez", b"".join(b"x-%d: 1\r\n" % i for i in range(500)))]
    yield [_get(b"/livez", b"x: " + b"a" * 200_000 + b"\r\n")]
    yield [_get(b"/livez", b"content-length: 5\r\ntransfer-encoding: chunked\r\n")]
    yield [b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n" * 200]
    yield [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)]
    yield [b"GET /livez HTTP/1.1\r\nhost: loc"]


PATHS = (b"%ff%fe", b"\xff\xfe", b"%00", b"%ED%A0%80", b"-0", b"1e3", b"9" * 400, b"%E2%80%AE", b"a" * 4_000, b"")


def bodies() -> Iterator[bytes]:
    """Bodies that are no request, or far too much of one."""
    yield from (
        b'{"ids":[NaN]}',
        b'{"ids":[Infinity]}',
        b'{"ids":[1e999]}',
        b'{"ids":["\\ud800"]}',
        b'{"ids":["\xff"]}',
    )
    yield from (b'{"features":{"f0":NaN}}', b'{"features":{"f0":1e308}}', b'{"features":{"f0":"\\ud800"}}')
    yield from (b'{"ids":[{"$gt":""}]}', b'{"entity_id":{"$gt":""}}', b'{"ids":["../../etc/passwd"]}', b'{"ids":[1,]}')
    yield from (
        b"[" * 100_000,
        b'{"ids":' * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"",
        b"null",
        b"\x00" * 99,
    )
    yield json.dumps({"ids": list(range(2_000_000))}).encode()
    yield b'{"ids":["' + b"a" * (50 * MEGABYTE) + b'"]}'


def _get(path: bytes, headers: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n" + headers + b"connection: close\r\n\r\n"
