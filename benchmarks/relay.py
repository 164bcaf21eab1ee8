"""A TCP relay that counts what passes through it, each way: the bytes on the wire of whoever is made to use it.

Here: the relay, in a process of its own. Not here: disturbing a connection (tests/faults/proxy.py).
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.sharedctypes import Synchronized

CHUNK = 1 << 20


class Relay:
    """Where it listens, and how many bytes went to the server and came from it."""

    def __init__(self, port: int, sent: Synchronized[int], received: Synchronized[int]) -> None:
        self.port, self._sent, self._received = port, sent, received

    def counted(self) -> tuple[int, int]:
        """Bytes to the server and from it, so far."""
        return self._sent.value, self._received.value


@contextmanager
def relay(host: str, port: int) -> Iterator[Relay]:
    """Relay a free port of 127.0.0.1 to `host` and `port` until the block ends."""
    context = multiprocessing.get_context("spawn")
    sent, received = context.Value("q", 0), context.Value("q", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    process = context.Process(target=_serve, args=(listener, (host, port), sent, received), daemon=True)
    process.start()
    try:
        yield Relay(listener.getsockname()[1], sent, received)
    finally:
        process.terminate()
        process.join()
        listener.close()


def _serve(
    listener: socket.socket, server: tuple[str, int], sent: Synchronized[int], received: Synchronized[int]
) -> None:
    while True:
        client, _ = listener.accept()
        upstream = socket.create_connection(server)
        for ends in ((client, upstream, sent), (upstream, client, received)):
            ends[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, drain: socket.socket, counter: Synchronized[int]) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            with counter.get_lock():
                counter.value += len(chunk)
            drain.sendall(chunk)
    with suppress(OSError):
        drain.shutdown(socket.SHUT_WR)
