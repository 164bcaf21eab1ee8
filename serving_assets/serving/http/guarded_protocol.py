"""The server's sockets: what a connection may cost before it has sent a request.

Here: limits on heads, connections, pipelining, and on clients that are slow on purpose. Not here: limits on requests
(app.py).

uvicorn's protocol waits for a head for ever, keeps any number of headers, and any number of pipelined requests; a few
thousand idle sockets or one endless header would take a worker down.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving_assets.serving.http.problems import Problem

HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 5.0
REQUEST_SECONDS = 30.0
"""How long a request may take to arrive from its first byte, whether or not its client still waits."""
WRITE_SECONDS = 30.0
CONNECTIONS = 2_000
PIPELINED = 16
LAST_HEAD_SECONDS = 1.0
"""How long a new connection may still send its first request once the server stops."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines and bounds."""

    _deadline = 0.0
    _timer: asyncio.TimerHandle | None = None
    _arriving = False
    _in_head = True
    _head_bytes = 0
    _problem: Problem | None = None
    _begun = False
    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection above the limit; expect a head within its time."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(Problem("too-busy", "It has as many connections as it may have.", retry_after=1))
            return
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._look_at_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and count what a head takes."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_head_too_large())

    def on_message_begin(self) -> None:
        """A request begins: its head has its time, its whole has more."""
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("too many pipelined requests")
        self._in_head, self._head_bytes, self._arriving, self._begun = True, 0, True, True
        self._deadline = self.loop.time() + HEAD_SECONDS
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the head by its headers too: many requests may come in one piece."""
        self._head_bytes += len(name) + len(value) if not self._in_head else 0
        if len(self.headers) >= 100 or len(value) > HEAD_BYTES or self._head_bytes > HEAD_BYTES + 2**20:
            self._problem = _head_too_large()
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here; the rest has its time."""
        self._in_head = False
        self._deadline = self.loop.time() + REQUEST_SECONDS
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._arriving = False
        self._in_head, self._head_bytes = True, 0
        self._deadline = inf
        super().on_message_complete()
        self._idle_if_answered()

    def on_response_complete(self) -> None:
        """The answer is out; the next head, or the rest of this request, is waited for."""
        super().on_response_complete()
        self._idle_if_answered()

    def pause_writing(self) -> None:
        """The client does not read its answer: it has `WRITE_SECONDS` to begin."""
        super().pause_writing()
        self._deadline = self.loop.time() + WRITE_SECONDS

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._deadline = inf

    def shutdown(self) -> None:
        """Close when idle; answer first what is under way, arrives, or may be coming on a connection that is new."""
        if self._begun and not (self._arriving and self._in_head):
            super().shutdown()
            return
        self._stopping = True
        if not self._begun and self._timer is not None:
            self._timer.cancel()
            self._deadline = min(self._deadline, self.loop.time() + LAST_HEAD_SECONDS)
            self._look_at_deadline()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses with a problem."""
        self._refuse(self._problem or Problem("invalid-http"))

    def _idle_if_answered(self) -> None:
        """Between requests uvicorn's keep-alive timer counts, but a body's last piece may have stopped it."""
        if not self._arriving and self.cycle.response_complete and not self.pipeline:
            self._deadline = self.loop.time() + self.timeout_keep_alive

    def _look_at_deadline(self) -> None:
        """One timer a connection, that looks whether the deadline has moved: cheaper than a timer for each."""
        left = self._deadline - self.loop.time()
        if left <= 0:
            self.transport.abort()
            return
        self._timer = self.loop.call_later(min(left, WRITE_SECONDS), self._look_at_deadline)

    def _refuse(self, problem: Problem) -> None:
        answer = problem.answer("", self.root_path)
        headers: list[Any] = [*answer.headers, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
        head = b"HTTP/1.1 %d \r\n" % answer.status + b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(head + b"\r\n" + answer.body)
        self.transport.close()


def _head_too_large() -> Problem:
    return Problem("head-too-large")
