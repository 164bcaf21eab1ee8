"""Bodies of requests: gzip or not, bounded while they arrive and while they expand."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterable

import pytest

from serving_assets.serving.http.problems import Problem
from serving_assets.serving.http.request import HttpRequest
from tests.serving.world import BUYS, ROOT, World

BATCH = f"{ROOT}/{BUYS}/predictions:batchGet"
LIMIT = 10_000
IDS = json.dumps({"ids": [1, 2, 3]}).encode()
GZIP = {"content-encoding": "gzip"}


def body(parts: Iterable[bytes], encoding: bytes = b"gzip") -> bytes:
    """What a request with these pieces of a body reads."""
    pieces = iter([*parts, b""])
    left = len(list(parts))

    async def receive() -> dict[str, object]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(pieces), "more_body": left > 0}

    request = HttpRequest("POST", b"/", {b"content-encoding": encoding}, receive, "1")
    return asyncio.run(request.body(LIMIT, 30.0))


def refused(parts: list[bytes], encoding: bytes = b"gzip") -> str:
    """The key of the problem with which a body is refused."""
    with pytest.raises(Problem) as found:
        body(parts, encoding)
    return found.value.key


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity", ""])
def test_bodies_may_be_gzip_or_plain(world: World, encoding: str) -> None:
    """A batch is answered alike, however its body is sent, by whichever name."""
    sent = gzip.compress(IDS) if "gzip" in encoding.lower() else IDS
    answer = world.ask("POST", BATCH, sent, {"content-encoding": encoding} if encoding else {})
    assert (answer.status, [item["entity_id"] for item in answer.json["items"]]) == (200, [1, 2, 3])


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress", "nonsense"])
def test_other_encodings_are_named_as_such(world: World, encoding: str) -> None:
    """An encoding that is not supported gets 415 with those that are, never "not JSON"."""
    answer = world.ask("POST", BATCH, IDS, {"content-encoding": encoding})
    assert (answer.status, answer.json["type"]) == (415, "/docs/problems#unsupported-content-encoding")
    assert answer.headers["accept-encoding"] == "gzip"
    assert encoding.encode() not in answer.body.replace(b"content-encoding: gzip", b"").replace(b"gzip", b"")


@pytest.mark.parametrize(
    "sent",
    [IDS, gzip.compress(IDS)[:-1], gzip.compress(IDS)[:10], gzip.compress(IDS) + b"x", gzip.compress(IDS) * 2, b""],
    ids=["plain", "cut", "head alone", "trailing", "two members", "empty"],
)
def test_what_is_no_whole_gzip_is_refused(world: World, sent: bytes) -> None:
    """A body that is not exactly one whole gzip member is a 400 that says so."""
    answer = world.ask("POST", BATCH, sent, GZIP)
    assert (answer.status, answer.json["type"]) == (400, "/docs/problems#invalid-request")
    assert "gzip" in answer.json["detail"]


def test_a_damaged_gzip_is_refused(world: World) -> None:
    """A flipped byte of the checksum is noticed."""
    whole = bytearray(gzip.compress(IDS))
    whole[-6] ^= 1
    answer = world.ask("POST", BATCH, bytes(whole), GZIP)
    assert answer.status == 400


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_up_to_the_limit_a_body_is_read_however_it_is_cut(size: int, step: int) -> None:
    """A body of the limit is read whole, in whichever pieces it arrives."""
    text = (b"0123456789" * LIMIT)[:size]
    sent = gzip.compress(text)
    assert body([sent[i : i + step] for i in range(0, len(sent), step)]) == text


@pytest.mark.parametrize("step", [7, 100_000])
def test_a_byte_above_the_limit_is_refused(step: int) -> None:
    """One byte more than the limit is too large, compressed or not."""
    text = b"x" * (LIMIT + 1)
    for sent, encoding in ((gzip.compress(text), b"gzip"), (text, b"")):
        assert refused([sent[i : i + step] for i in range(0, len(sent), step)], encoding) == "too-large"


def test_what_is_sent_is_bounded_too() -> None:
    """Blocks that expand to nothing count by what is sent."""
    deflate = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    blocks = [deflate.flush(zlib.Z_FULL_FLUSH) or b"" for _ in range(2)]
    assert refused([*blocks, *[b"\x00\x00\x00\xff\xff"] * LIMIT]) == "too-large"


def test_a_bomb_is_never_expanded() -> None:
    """A body that would expand to 200 MB costs memory for the limit, and is refused."""
    bomb = gzip.compress(bytes(200_000_000), 1)[: LIMIT - 1]
    tracemalloc.start()
    try:
        assert refused([bomb]) == "too-large"
        assert tracemalloc.get_traced_memory()[1] < 50 * LIMIT
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_it_has_arrived(world: World) -> None:
    """The server refuses as soon as the limit is passed, and closes the connection."""
    answer = world.ask("POST", BATCH, gzip.compress(bytes(100_000_000)), GZIP)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
