"""The answer to a request, as every route gives it.

Here: one answer and the headers that several routes share. Not here: problems (problems.py), requests (request.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
PROBLEM_JSON: Header = (b"content-type", b"application/problem+json")
NO_STORE: Header = (b"cache-control", b"no-store")
CLOSE: Header = (b"connection", b"close")


class Answer(NamedTuple):
    """The status, the whole body, and the headers beyond those that every answer has."""

    status: int
    body: bytes
    headers: tuple[Header, ...]
    source: str = ""
    """Where a prediction came from, for metrics and the prediction log; empty when it is none."""
    features: Callable[[], dict[str, Any]] | None = None
    """What was scored, for the prediction log alone."""
