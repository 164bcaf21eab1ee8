"""The ASGI application: every request from its head to its log line.

Here: admission, limits on number and time, what becomes of errors, metrics and logs, start and end. Not here: answers
(serving/service.py), sockets (http/guarded_protocol.py), what is put together (serving/build.py).
"""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from serving_assets.serving.http.answer import Answer, Header
from serving_assets.serving.http.guard import Guard
from serving_assets.serving.http.problems import Problem, bad_request, late
from serving_assets.serving.http.request import HttpRequest, Receive, Scope, Send
from serving_assets.serving.http.routes import Route, Router
from serving_assets.serving.telemetry.logs import JsonLog
from serving_assets.serving.telemetry.metrics import ApiMetrics
from serving_assets.serving.telemetry.spans import Spans
from serving_assets.serving.telemetry.tracing import request_id, trace_of

ANY_ORIGIN = b"*"
ONCE = (b"host", b"authorization", b"x-api-key", b"content-encoding")
SECURITY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"authorization, x-api-key, origin"),
)


class Api:
    """The application.

    Args:
        routes: all there are.
        guard: admits requests.
        background: what runs as long as the application does.
        metrics: where requests are counted.
        log: where they are logged.
        most: requests at a time; above, 503 at once rather than a queue.
        seconds: that one request may take.
        origins: of pages that may read answers, or `*` for all; none unless configured.
        spans: where requests are traced; None unless configured.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        guard: Guard,
        background: AbstractAsyncContextManager[None],
        metrics: ApiMetrics,
        log: JsonLog,
        most: int,
        seconds: float,
        origins: frozenset[bytes] = frozenset(),
        spans: Spans | None = None,
    ) -> None:
        self._router, self._guard, self._background = Router(routes), guard, background
        self._metrics, self._log, self._spans = metrics, log, spans
        self._most, self._seconds, self._origins = most, seconds, origins
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        root_path: str = scope.get("root_path", "")
        request = HttpRequest(
            scope["method"],
            _own_path(scope["raw_path"], root_path.encode()),
            headers,
            receive,
            request_id(headers.get(b"x-request-id")),
        )
        route: Route | None = None
        try:
            if len(headers) < len(scope["headers"]):
                _refuse_twice(scope["headers"])
            if self._origins and request.method == "OPTIONS" and b"origin" in headers:
                answer = self._preflight(headers)
            else:
                route, request.params = self._router.find(request.method, request.path)
                answer = await self._admitted(route, request)
        except Problem as problem:
            answer = problem.answer(request.id, root_path)
        except Exception:  # noqa: BLE001  a bug must not reach the client, and must reach the log
            self._log.write("bug", request_id=request.id, traceback=traceback.format_exc())
            answer = Problem("internal-error").answer(request.id, root_path)
        await _send(send, answer, request.id, self._cors(headers))
        self._record(request, route, answer, time.perf_counter() - began)

    async def _admitted(self, route: Route, request: HttpRequest) -> Answer:
        if route.open:
            self._guard.recognise(request)
        else:
            self._guard.admit(request)
        if self.in_flight >= self._most and not route.vital:
            raise Problem("too-busy", "It answers as many requests as it may at a time.", retry_after=1)
        self.in_flight += 1
        try:
            async with asyncio.timeout(self._seconds):
                return await route.handler(request)
        except TimeoutError:
            if request.arriving:
                raise late(self._seconds) from None
            raise Problem("too-slow", f"It took longer than {self._seconds:g} seconds.", retry_after=1) from None
        finally:
            self.in_flight -= 1

    def _record(self, request: HttpRequest, route: Route | None, answer: Answer, seconds: float) -> None:
        template = route.template if route else "none"
        self._metrics.observe(route.method if route else "none", template, answer.status)(seconds)
        trace = trace_of(request.headers.get(b"traceparent"))
        if self._spans is not None and not (route and route.vital):
            trace = self._spans.record(request, route, answer, seconds, trace.parent)
        self._log.write(
            "request",
            request_id=request.id,
            trace_id=trace.id,
            parent_id=trace.parent,
            span_id=trace.span,
            client=request.client,
            method=request.method if route else "none",
            route=template,
            status=answer.status,
            source=answer.source,
            milliseconds=round(seconds * 1000, 3),
            **request.facts,
        )

    def _cors(self, headers: dict[bytes, bytes]) -> tuple[Header, ...]:
        origin = headers.get(b"origin")
        if origin is None or not self._may_read(origin):
            return ()
        return (
            (b"access-control-allow-origin", ANY_ORIGIN if ANY_ORIGIN in self._origins else origin),
            (b"access-control-expose-headers", b"etag, x-request-id, retry-after"),
        )

    def _may_read(self, origin: bytes) -> bool:
        return ANY_ORIGIN in self._origins or origin in self._origins

    def _preflight(self, headers: dict[bytes, bytes]) -> Answer:
        if not self._may_read(headers[b"origin"]):
            raise Problem("origin-not-allowed")
        allow = b"authorization, content-encoding, content-type, if-none-match, x-api-key, x-request-id, traceparent"
        return Answer(
            204,
            b"",
            (
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", allow),
                (b"access-control-max-age", b"600"),
            ),
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._background:
            gc.collect()
            gc.freeze()  # what the start has made stays: looking at it again costs a batch of a thousand a sixth
            await send({"type": "lifespan.startup.complete"})
            await receive()
        gc.unfreeze()
        self._log.flush()
        if self._spans is not None:
            self._spans.close()
        await send({"type": "lifespan.shutdown.complete"})


def _own_path(path: bytes, root_path: bytes) -> bytes:
    """The path without the prefix that a proxy shows this server under.

    The server puts the prefix before every path; a proxy that does not remove it sends it a second time.
    """
    if root_path:
        for _ in range(2):
            if path.startswith(root_path + b"/"):
                path = path.removeprefix(root_path)
    return path


def _refuse_twice(headers: Sequence[Header]) -> None:
    """Refuse a header that is sent twice where a proxy could act on one and this server on the other.

    Raises:
        Problem: 400.
    """
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in ONCE):
        raise bad_request("host, authorization, x-api-key and content-encoding may be sent once.")


async def _send(send: Send, answer: Answer, request_id: str, further: tuple[Header, ...]) -> None:
    length = ((b"content-length", b"%d" % len(answer.body)),) if answer.status not in (204, 304) else ()
    headers = [*answer.headers, *length, *SECURITY, (b"x-request-id", request_id.encode()), *further]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
