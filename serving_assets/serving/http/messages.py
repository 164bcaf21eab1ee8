"""Requests and answers in the few words that every route needs.

Here: one request with its limits, one answer, and the problem that becomes `application/problem+json`. Not here: which
route answers (routes.py), the server's sockets (guarded_protocol.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
PROBLEM_JSON: Header = (b"content-type", b"application/problem+json")
NO_STORE: Header = (b"cache-control", b"no-store")
CLOSE: Header = (b"connection", b"close")


class Answer(NamedTuple):
    """What goes back: the status, the whole body, and the headers beyond those that every answer has."""

    status: int
    body: bytes
    headers: tuple[Header, ...]
    source: str = ""
    """Where a prediction came from, for metrics and the prediction log; empty when it is none."""
    features: Callable[[], dict[str, Any]] | None = None
    """What was scored, for the prediction log alone."""


class Problem(Exception):
    """An answer of RFC 9457 that is no success. Neither `detail` nor `members` may repeat what the client sent.

    Args:
        status: the HTTP status.
        code: names the kind of problem for programs, in kebab case; it ends the `type`.
        title: the kind in words, the same for every occurrence.
        detail: this occurrence: what was expected, where, and the mend.
        retry_after: seconds after which the same request may pass; None where a retry is no use.
        headers: further headers.
        members: further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        retry_after: int | None = None,
        headers: tuple[Header, ...] = (),
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.retry_after, self.headers, self.members = retry_after, headers, members or {}

    def answer(self, request_id: str) -> Answer:
        """The problem as an answer; `request_id` is what the log knows it by."""
        body = {
            "type": f"/docs/problems#{self.code}",
            "title": self.title,
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            "request_id": request_id,
            **self.members,
        }
        retry = ((b"retry-after", b"%d" % self.retry_after),) if self.retry_after is not None else ()
        return Answer(self.status, orjson.dumps(body), (PROBLEM_JSON, NO_STORE, *retry, *self.headers))


def bad_request(detail: str) -> Problem:
    """The request is not what this route takes."""
    return Problem(400, "invalid-request", "The request is not valid", detail)


def unavailable(detail: str, retry_after: int = 1) -> Problem:
    """The answer is out of reach at present."""
    return Problem(503, "unavailable", "No answer can be given at present", detail, retry_after=retry_after)


@dataclass(slots=True)
class HttpRequest:
    """One request, its path still undecoded so that what a client has escaped stays one segment."""

    method: str
    path: bytes
    headers: dict[bytes, bytes]
    receive: Receive
    id: str
    client: str = ""
    params: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset({"*"})
    facts: dict[str, Any] = field(default_factory=dict)
    """What the answer's log line says beyond the ordinary."""
    arriving: bool = False
    """Whether its body is waited for at the moment: what is late then is the client."""

    def allows(self, use_case: str) -> bool:
        """Whether the caller's key covers `use_case`."""
        return "*" in self.scopes or use_case in self.scopes

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body, refused as soon as it is known to be too large or too slow.

        Raises:
            Problem: 413 above `limit` bytes, 408 when it has not arrived within `seconds`, 400 when the client left.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise _too_large(limit)
        self.arriving = True
        try:
            async with asyncio.timeout(seconds):
                body = await self._collect(limit)
        except TimeoutError:
            raise late(seconds) from None
        self.arriving = False
        return body

    async def _collect(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise bad_request("The client closed the connection before the body was complete.")
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json_object(self, limit: int, seconds: float, known: frozenset[str]) -> dict[str, Any]:
        """The body as a JSON object that has no member outside `known`.

        Raises:
            Problem: 400, 413, 415 or 408.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Problem(
                415,
                "unsupported-media-type",
                "The body must be JSON",
                "Send the header content-type: application/json.",
                headers=(CLOSE,),
            )
        body = await self.body(limit, seconds)
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise bad_request(
                "The body is not JSON in UTF-8; NaN, infinities, lone surrogates and deep nesting are refused as well."
            ) from None
        if type(value) is not dict:
            raise bad_request("The body must be a JSON object.")
        if not known.issuperset(value):
            raise bad_request(f"The body has a member that is not known; known are: {', '.join(sorted(known))}.")
        return value


def late(seconds: float) -> Problem:
    """The client has not sent its request within `seconds`."""
    return Problem(
        408,
        "request-timeout",
        "The request did not arrive in time",
        f"Its body must be here within {seconds:g} seconds.",
        headers=(CLOSE,),
    )


def _too_large(limit: int) -> Problem:
    return Problem(
        413, "too-large", "The request is too large", f"The body may have {limit} bytes at most.", headers=(CLOSE,)
    )
