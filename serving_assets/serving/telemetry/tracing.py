"""Names of a request: its id, and its place in a distributed trace.

Here: request ids and the W3C `traceparent`. Not here: spans of our own (spans.py).
"""

from __future__ import annotations

import os
import re
from itertools import count
from typing import NamedTuple

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_number = count(1)


class TraceContext(NamedTuple):
    """The trace a request belongs to, its caller's span in it, and its own where spans are exported; empty for none."""

    id: str = ""
    parent: str = ""
    span: str = ""


NO_TRACE = TraceContext()


def request_id(given: bytes | None) -> str:
    """The caller's id if it is one, or a new one: unique among processes and restarts."""
    if given is not None and _ID.fullmatch(given):
        return given.decode()
    return f"{_prefix()}-{next(_number):x}"


def trace_of(traceparent: bytes | None) -> TraceContext:
    """The trace of a `traceparent` header; none when it is absent, malformed, or all zeros."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or not found[1].strip(b"0") or not found[2].strip(b"0"):
        return NO_TRACE
    return TraceContext(found[1].decode(), found[2].decode())


_prefixes: dict[int, str] = {}


def _prefix() -> str:
    process = os.getpid()
    if process not in _prefixes:
        _prefixes[process] = os.urandom(6).hex()
    return _prefixes[process]
