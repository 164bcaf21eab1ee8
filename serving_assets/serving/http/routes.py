"""Routes: which handler answers a method and a path, and what is documented of it.

Here: the table, and finding a request's route. A route cannot exist without its documentation, so OpenAPI is complete.
Not here: the handlers (serving/service.py, serving/health.py, docs_page.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from serving_assets.serving.http.answer import Answer
from serving_assets.serving.http.problems import Problem, bad_request
from serving_assets.serving.http.request import HttpRequest

Handler = Callable[[HttpRequest], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """One method on one path.

    Attributes:
        method: in capitals; a GET answers HEAD too.
        template: the path, with its parameters in braces.
        handler: what answers.
        doc: the operation's name in the documentation (openapi.py).
        open: whether it answers without a key.
        vital: whether it answers however busy the server is.
    """

    method: str
    template: str
    handler: Handler
    doc: str
    open: bool = False
    vital: bool = False

    @property
    def segments(self) -> tuple[bytes | None, ...]:
        """The path's segments, None for a parameter."""
        return tuple(None if s.startswith("{") else s.encode() for s in self.template.split("/"))


class Router:
    """Finds routes by the undecoded path, so that an escaped slash stays part of its segment."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_length: dict[int, list[tuple[tuple[bytes | None, ...], Route]]] = {}
        for route in routes:
            self._by_length.setdefault(len(route.segments), []).append((route.segments, route))

    def find(self, method: str, path: bytes) -> tuple[Route, tuple[str, ...]]:
        """The route of a request and its parameters.

        Raises:
            Problem: 404 for an unknown path, 405 for a known one, 400 for a parameter that is not UTF-8.
        """
        given = path.split(b"/")
        allowed = []
        wanted = "GET" if method == "HEAD" else method
        for segments, route in self._by_length.get(len(given), ()):
            if all(fixed is None or fixed == one for fixed, one in zip(segments, given, strict=True)):
                if route.method == wanted:
                    return route, _parameters(segments, given)
                allowed.append(route.method)
        if not allowed:
            raise Problem("no-such-route")
        methods = sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])})
        raise Problem("method-not-allowed", headers=((b"allow", ", ".join(methods).encode()),))


def _parameters(segments: tuple[bytes | None, ...], given: list[bytes]) -> tuple[str, ...]:
    decoded = [_unescaped(one) for fixed, one in zip(segments, given, strict=True) if fixed is None]
    if None in decoded:
        raise bad_request("The path is not UTF-8.")
    return tuple(one for one in decoded if one is not None)


def _unescaped(segment: bytes) -> str | None:
    """A segment of a path with its escapes resolved; None when that is no UTF-8."""
    try:
        return (unquote_to_bytes(segment) if b"%" in segment else segment).decode()
    except UnicodeDecodeError:
        return None
