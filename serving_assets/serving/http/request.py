"""One request and its body, with their limits.

Here: reading a body in pieces, within its size and time, gzip or not, as a JSON object. Not here: which route takes it
(routes.py), the server's sockets (guarded_protocol.py).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from serving_assets.serving.http.answer import CLOSE
from serving_assets.serving.http.problems import Problem, bad_request, late, too_large

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Decoder(Protocol):
    """Turns the pieces of a body, as they arrive, into pieces of the plain body."""

    def feed(self, part: bytes, room: int) -> bytes:
        """What `part` expands to, of which at most `room + 1` bytes are made."""

    def end(self) -> None:
        """Check that the body is whole.

        Raises:
            Problem: 400.
        """


class Identity:
    """The decoder of a body that is sent as it is."""

    def feed(self, part: bytes, room: int) -> bytes:
        """The part itself."""
        return part

    def end(self) -> None:
        """Any body is whole."""


class Gzip:
    """The decoder of a gzip body of one member; more members would be a cheap way to cost the server time."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)

    def feed(self, part: bytes, room: int) -> bytes:
        """What `part` expands to; a body that does not fit is never made whole.

        Raises:
            Problem: 400 when this is no gzip, or something follows it.
        """
        try:
            found = self._inflate.decompress(part, room + 1)
        except zlib.error:
            raise bad_request("The body is not valid gzip.") from None
        if self._inflate.unused_data:
            raise bad_request("The gzip body must be one member with nothing behind it.")
        return found

    def end(self) -> None:
        """Check that the member is whole, with its checksum.

        Raises:
            Problem: 400.
        """
        if not self._inflate.eof:
            raise bad_request("The gzip body is cut short.")


DECODERS: dict[bytes, Callable[[], Decoder]] = {b"": Identity, b"identity": Identity, b"gzip": Gzip, b"x-gzip": Gzip}


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
    """What the answer's log line holds beyond the ordinary."""
    arriving: bool = False
    """Whether its body is waited for at the moment: what is late then is the client."""

    def allows(self, use_case: str) -> bool:
        """Whether the caller's key covers `use_case`."""
        return "*" in self.scopes or use_case in self.scopes

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body, uncompressed, refused as soon as it is known to be too large or too slow.

        Raises:
            Problem: 413 above `limit` bytes, sent or uncompressed; 415 for an encoding other than gzip; 408 when it
                has not arrived within `seconds`; 400 when it is no whole gzip, or the client left.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise too_large(limit)
        decoder = self._decoder()
        self.arriving = True
        try:
            async with asyncio.timeout(seconds):
                body = await self._collect(limit, decoder)
        except TimeoutError:
            raise late(seconds) from None
        self.arriving = False
        return body

    def _decoder(self) -> Decoder:
        made = DECODERS.get(self.headers.get(b"content-encoding", b"").strip().lower())
        if made is None:
            raise Problem(
                "unsupported-content-encoding",
                "Send the body without content-encoding, or with content-encoding: gzip.",
                headers=((b"accept-encoding", b"gzip"), CLOSE),
            )
        return made()

    async def _collect(self, limit: int, decoder: Decoder) -> bytes:
        parts: list[bytes] = []
        sent = size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise bad_request("The client closed the connection before the body was complete.")
            part: bytes = message.get("body", b"")
            sent += len(part)
            found = decoder.feed(part, limit - size) if part else b""
            size += len(found)
            if max(sent, size) > limit:
                raise too_large(limit)
            parts.append(found)
            if not message.get("more_body", False):
                decoder.end()
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json_object(self, limit: int, seconds: float, known: frozenset[str]) -> dict[str, Any]:
        """The body as a JSON object that has no member outside `known`.

        Raises:
            Problem: 400, 413, 415 or 408.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Problem("unsupported-media-type", "Send the header content-type: application/json.", headers=(CLOSE,))
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
