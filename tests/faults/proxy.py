"""A TCP proxy before a MongoDB server that understands just enough of the protocol to disturb chosen commands.

Here: the proxy and its disturbances. Not here: what is expected of whoever is disturbed.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import bson

OP_MSG = 2013
HEADER = struct.Struct("<iiii")


@dataclass(frozen=True)
class Delay:
    """The command reaches the server that many seconds late."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The connection ends: before the server has the command, or after it has it and before it answers."""

    after: bool = False


@dataclass(frozen=True)
class Refuse:
    """The server does not get the command; this is the answer."""

    answer: dict[str, Any]


Disturbance = Delay | Cut | Refuse | None
Rule = Callable[[str, str], Disturbance]
"""Given the name of a command and the collection it is about: what happens to it."""


def undisturbed(command: str, collection: str) -> Disturbance:
    """The rule of a healthy network."""
    return None


def once(wanted: str, disturbance: Disturbance, *, about: str | None = None, nth: int = 1) -> Rule:
    """The rule that disturbs the `nth` command of that name, on the collection `about` if given, and no other."""
    lock, hits = threading.Lock(), 0

    def rule(command: str, collection: str) -> Disturbance:
        nonlocal hits
        if command != wanted or about not in (None, collection):
            return None
        with lock:
            hits += 1
            return disturbance if hits == nth else None

    return rule


def always(wanted: str, disturbance: Disturbance) -> Rule:
    """The rule that disturbs every command of that name."""
    return lambda command, _: disturbance if command == wanted else None


class Proxy:
    """Listens on a port of its own and passes everything on to `upstream`, but for what `rule` says."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.rule: Rule = undisturbed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"mongodb://127.0.0.1:{self.port}"

    def cut_all(self) -> None:
        """End all connections; new ones are accepted."""
        for end in list(self._open):
            _end(end)

    def close(self) -> None:
        """Stop for good."""
        _end(self._listener)
        self.cut_all()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.upstream)) as server:
            self._open |= {client, server}
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            for message in _messages(client):
                disturbance = self.rule(*_command(message))
                if isinstance(disturbance, Delay):
                    time.sleep(disturbance.seconds)
                if isinstance(disturbance, Refuse):
                    client.sendall(_reply(message, disturbance.answer))
                    continue
                if isinstance(disturbance, Cut) and disturbance.after:
                    # The answer must not find its way back, so the client's end goes first.
                    _end(client)
                    server.sendall(message)
                    time.sleep(0.3)
                if isinstance(disturbance, Cut):
                    break
                server.sendall(message)
            _end(client)
            _end(server)
            self._open -= {client, server}


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy that is closed afterwards."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _end(target)


def _messages(client: socket.socket) -> Iterator[bytes]:
    with client.makefile("rb") as stream:
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            yield header + stream.read(HEADER.unpack(header)[0] - HEADER.size)


def _command(message: bytes) -> tuple[str, str]:
    if HEADER.unpack_from(message)[3] != OP_MSG:
        return "", ""
    size = struct.unpack_from("<i", message, HEADER.size + 5)[0]
    body = bson.decode(message[HEADER.size + 5 : HEADER.size + 5 + size])
    name = next(iter(body))
    return name, str(body.get("collection") if name == "getMore" else body[name])


def _reply(message: bytes, answer: dict[str, Any]) -> bytes:
    body = struct.pack("<iB", 0, 0) + bson.encode(answer)
    asked = HEADER.unpack_from(message)[1]
    return HEADER.pack(HEADER.size + len(body), 1, asked, OP_MSG) + body
