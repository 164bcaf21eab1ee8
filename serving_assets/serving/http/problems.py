"""Every type of problem that an answer can be (RFC 9457).

Here: the one table of types, and an occurrence of one. Not here: raising them (where the fault is known), their
documentation (openapi.py, docs_page.py).

A type has one title and one status, always: both stand in the table alone. An occurrence adds its detail and members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from serving_assets.serving.http.answer import CLOSE, NO_STORE, PROBLEM_JSON, Answer, Header

PAGE = "/docs/problems"
"""The page that explains the types; a type is its address with the type's key behind `#`."""


class ProblemType(NamedTuple):
    """One type: its HTTP status, its title, and what the caller does about it."""

    status: int
    title: str
    hint: str


PROBLEM_TYPES = {
    "invalid-request": ProblemType(
        400, "The request is not valid", "Correct the request as detail describes; the same one will fail again."
    ),
    "invalid-http": ProblemType(
        400, "The bytes are not a valid HTTP request", "Check the client library and the proxy in between."
    ),
    "unauthorized": ProblemType(
        401, "A valid API key is needed", "Send a valid key. A key that worked before was revoked or has expired."
    ),
    "forbidden": ProblemType(
        403, "The key does not cover this", "Ask the owners for a key whose scope covers what detail names."
    ),
    "origin-not-allowed": ProblemType(
        403,
        "Pages of this origin may not read answers",
        "Ask through your own server, or have the origin added to API_CORS_ORIGINS.",
    ),
    "not-found": ProblemType(
        404, "There is no prediction for this id", "Show what you show to a newcomer; the answer is final for now."
    ),
    "expired": ProblemType(
        404, "The prediction has expired", "The prediction is too old to be used; treat it as none."
    ),
    "no-such-use-case": ProblemType(404, "There is no such use case", "GET /v1/use-cases lists those that exist."),
    "no-such-route": ProblemType(404, "There is no such route", "/docs lists the routes."),
    "not-offered": ProblemType(
        404, "The use case does not offer this", "Its owners can declare what detail names (serve=Serve(...))."
    ),
    "method-not-allowed": ProblemType(
        405, "The route does not take this method", "The header allow lists the methods that it takes."
    ),
    "request-timeout": ProblemType(
        408, "The request did not arrive in time", "Send the request faster, or in smaller parts."
    ),
    "too-large": ProblemType(413, "The request is too large", "Send less, in several requests."),
    "unsupported-media-type": ProblemType(415, "The body must be JSON", "Send the body as application/json."),
    "unsupported-content-encoding": ProblemType(
        415, "The body's encoding is not supported", "Send the body uncompressed or as gzip."
    ),
    "misdirected-request": ProblemType(
        421, "This server answers its own machine only", "Use localhost as the host, or a server that has API keys."
    ),
    "unscorable": ProblemType(
        422,
        "The model cannot score these features",
        "Send the features that detail names; they have no other source.",
    ),
    "too-many-requests": ProblemType(
        429,
        "The key has exceeded its rate",
        "Wait for as many seconds as retry-after gives, and ask for more ids in one batchGet.",
    ),
    "head-too-large": ProblemType(431, "The request's headers are too large", "Send fewer or shorter headers."),
    "internal-error": ProblemType(500, "The server has a fault", "Report the request_id to the server's owners."),
    "unavailable": ProblemType(
        503,
        "No answer can be given at present",
        "Wait for as many seconds as retry-after gives; keep showing what you have.",
    ),
    "too-busy": ProblemType(503, "The server is too busy", "Wait for as many seconds as retry-after gives."),
    "too-slow": ProblemType(
        504, "The answer took too long", "Wait for as many seconds as retry-after gives; ask for less at once."
    ),
}


class Problem(Exception):
    """An occurrence of a type. Neither `detail` nor `members` may repeat what the client sent.

    Args:
        key: of the type, in PROBLEM_TYPES; it ends the answer's `type`.
        detail: this occurrence: what was expected, where, and how to correct it.
        retry_after: seconds after which the same request may pass; None where a retry is no use.
        headers: further headers.
        members: further members of the body.
    """

    def __init__(
        self,
        key: str,
        detail: str = "",
        *,
        retry_after: int | None = None,
        headers: tuple[Header, ...] = (),
        members: Mapping[str, Any] | None = None,
    ) -> None:
        self.key, self.detail, self.type = key, detail, PROBLEM_TYPES[key]
        self.retry_after, self.headers, self.members = retry_after, headers, members or {}
        super().__init__(f"{self.type.status} {key}: {detail or self.type.title}")

    def answer(self, request_id: str, root_path: str = "") -> Answer:
        """The problem as an answer.

        Args:
            request_id: what the log knows the request by.
            root_path: the path under which a proxy shows this server, so that `type` can be followed.
        """
        status = self.type.status
        body = {
            "type": f"{root_path}{PAGE}#{self.key}",
            "title": self.type.title,
            "status": status,
            **({"detail": self.detail} if self.detail else {}),
            "request_id": request_id,
            **self.members,
        }
        retry = ((b"retry-after", b"%d" % self.retry_after),) if self.retry_after is not None else ()
        return Answer(status, orjson.dumps(body), (PROBLEM_JSON, NO_STORE, *retry, *self.headers))


def bad_request(detail: str) -> Problem:
    """The request is not what this route takes."""
    return Problem("invalid-request", detail)


def unavailable(detail: str) -> Problem:
    """The answer is out of reach at present."""
    return Problem("unavailable", detail, retry_after=1)


def late(seconds: float) -> Problem:
    """The client has not sent its request within `seconds`."""
    return Problem("request-timeout", f"Its body must be here within {seconds:g} seconds.", headers=(CLOSE,))


def too_large(limit: int) -> Problem:
    """The body, or what it expands to, has more than `limit` bytes."""
    return Problem("too-large", f"The body may have {limit} bytes at most, uncompressed.", headers=(CLOSE,))
