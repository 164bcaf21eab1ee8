"""Thousands of requests, described by the OpenAPI document, forbidden by it, or none at all; `make fuzz` sends more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving_assets.serving.http.keys import create_key
from tests.serving.fuzzing import CLOSED, DELIBERATE, MEGABYTE, Fuzz
from tests.serving.world import World

DOCUMENTED, HOSTILE = 200, 100


@pytest.fixture(params=["keyless", "keys"])
def fuzz(request: pytest.FixtureRequest, own_world: World) -> Iterator[Fuzz]:
    """Somebody who asks a server, without keys or with one that opens everything."""
    key = ""
    if request.param == "keys":
        _, key = create_key(own_world.data / "api-keys.json", "fuzz", ["*"], rate=None, days=None)
    with own_world.served() as world:
        yield Fuzz(world, key)


def test_no_request_breaks_the_server(fuzz: Fuzz, own_world: World) -> None:
    """Whatever is asked, every answer is as documented, nothing fails but on purpose, and memory stays bounded."""
    fuzz.ask_documented(DOCUMENTED)
    before = own_world.memory()
    fuzz.ask_hostile(HOSTILE)
    assert own_world.memory() - before < 50 * MEGABYTE
    found = fuzz.documented + fuzz.hostile
    assert {status for status in found if status >= 500} <= DELIBERATE
    assert {200, 400, 404} <= set(fuzz.documented)
    assert {CLOSED, 400, 413, 431} <= set(fuzz.hostile)
    assert (401 in found) == (own_world.data / "api-keys.json").exists()
    assert own_world.get("/livez").status == 200
    assert not any(line["event"] == "bug" for line in own_world.log())
    assert own_world.process is not None
    assert own_world.process.poll() is None
