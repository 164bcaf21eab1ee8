"""A store that is down, slow, lagging or flapping while the API is under load, and what it comes back to."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from serving_assets.settings import Settings
from tests.faults.proxy import Cut, Delay, Disturbance, Proxy, proxy_to
from tests.mongo_server import own_server
from tests.serving.conftest import bundles, make_world
from tests.serving.world import BUYS, ROOT, World, soon

__all__ = ["bundles"]
pytestmark = [pytest.mark.must_run, pytest.mark.long]

HELD = list(range(1, 41))
SECONDS = 1.5
PATIENCE = 1.0
"""Seconds that the server waits for a read: half of what a request may take."""
FLAP_SECONDS = 0.3
"""The rhythm of a store that comes and goes."""
CLIENTS = 6
ONE, BATCH, SCORE = (f"{ROOT}/{BUYS}/{what}" for what in ("predictions", "predictions:batchGet", "score"))
strangers = count(1_000)


class Asked(NamedTuple):
    """One answer to a request of a kind."""

    kind: str
    status: int
    body: dict[str, Any]


class Storm:
    """The proxy's rule: what happens to commands, until it is changed."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._now: Callable[[str], Disturbance] = lambda _: None
        proxy.rule = lambda command, _: self._now(command)

    def calm(self) -> None:
        """Nothing happens."""
        self._now = lambda _: None

    def down(self) -> None:
        """No command arrives, and no connection lives."""
        self._now = lambda _: Cut()
        self._proxy.cut_all()

    def late(self, seconds: float) -> None:
        """Reads arrive late."""
        self._now = lambda command: Delay(seconds) if command == "find" else None

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """A storm of a kind, which is over afterwards."""
        over = threading.Event()

        def flap() -> None:
            while not over.wait(FLAP_SECONDS):
                self.down()
                over.wait(FLAP_SECONDS)
                self.calm()

        flapping = threading.Thread(target=flap)
        if kind == "flapping":
            flapping.start()
        elif kind == "down":
            self.down()
        else:
            self.late({"slow": 1.5 * PATIENCE, "lagging": 0.05 * PATIENCE}[kind])
        try:
            yield
        finally:
            over.set()
            if kind == "flapping":
                flapping.join()
            self.calm()


class Client(threading.Thread):
    """Asks for everything in turn over a connection that stays open; what it is told is in `answers`."""

    def __init__(self, world: World, until: float) -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
        self._until = until
        self.answers: list[Asked] = []

    def run(self) -> None:
        """Ask, as fast as it is answered."""
        while time.monotonic() < self._until:
            for held in HELD[::10]:
                new = next(strangers)
                self._ask("held", "GET", f"{ONE}/{held}")
                self._ask("new", "GET", f"{ONE}/{new}")
                self._ask("held batch", "POST", BATCH, {"ids": HELD})
                self._ask("new batch", "POST", BATCH, {"ids": [held, new]})
                self._ask("held hybrid", "POST", SCORE, {"entity_id": held})
                self._ask("new hybrid", "POST", SCORE, {"entity_id": new})
                self._ask("held features", "POST", SCORE, {"entity_id": 1, "features": {"f0": 3.0}})
        self._connection.close()

    def _ask(self, kind: str, method: str, path: str, body: Any = None) -> None:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"content-type": "application/json"} if sent else {})
        answer = self._connection.getresponse()
        self.answers.append(Asked(kind, answer.status, json.loads(answer.read())))


def load(world: World, seconds: float) -> list[Asked]:
    """What several clients are told in that time. One that is not answered at all fails the test."""
    clients = [Client(world, time.monotonic() + seconds) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert all(client.answers for client in clients)
    return [answer for client in clients for answer in client.answers]


@pytest.fixture(scope="module")
def stormy(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Storm]]:
    """A served world whose store is behind the proxy, and in whose memory is what `held` asks for."""
    with own_server() as server, proxy_to(server.port) as proxy:
        database = f"faults_{uuid4().hex[:12]}"
        made = make_world(tmp_path_factory.mktemp("stormy"), bundles, f"{server.uri}/{database}")
        with made.served(MONGODB_URI=f"{proxy.uri}/{database}", API_STORE_SECONDS=str(PATIENCE)) as world:
            assert world.batch(BUYS, HELD).json["stale"] is False
            assert world.score(BUYS, entity_id=1, features={"f0": 3.0}).json["source"] == "on_the_fly"
            yield world, Storm(proxy)


@pytest.mark.parametrize("kind", ["down", "slow", "flapping", "lagging"])
def test_a_store_in_trouble_costs_what_is_declared(stormy: tuple[World, Storm], kind: str) -> None:
    """What is held is answered without an error, the rest as declared, all in time; calm fixes everything by itself."""
    world, storm = stormy
    told = len(world.log())
    with storm.of(kind):
        answers = load(world, SECONDS)
    _is_as_declared(answers, troubled=kind != "lagging")
    if kind in ("down", "slow"):
        _is_told(answers)
    _recovers(world)
    assert soon(lambda: sum(line["event"] == "request" for line in world.log()[told:]) >= len(answers))
    lines = world.log()[told:]
    took = [line["milliseconds"] for line in lines if line["event"] == "request"]
    late = sum(milliseconds > 1000 * Settings().api_request_seconds for milliseconds in took)
    assert late <= len(took) // 100
    assert [line for line in lines if line["event"] == "bug" or line.get("level") in ("warning", "error")] == []


def _is_as_declared(answers: list[Asked], *, troubled: bool) -> None:
    """No error for what is held; for the rest what the use case declares, `troubled` or not."""
    found = Counter((one.kind, one.status) for one in answers)
    wanted = {"new": {404, 503}, "new batch": {200, 503}} if troubled else {"new": {404}}
    assert [one for one in found if one[1] not in wanted.get(one[0], {200})] == []
    assert {one.body["source"] for one in answers if one.kind == "held hybrid"} == {"batch"}
    assert {one.body["source"] for one in answers if one.kind == "held features"} == {"on_the_fly"}
    reasons = {(one.body["source"], one.body["reason"]) for one in answers if one.kind == "new hybrid"}
    unknown = {("fallback", "unknown_entity")}
    assert reasons - unknown <= ({("fallback", "store_down")} if troubled else set())


def _is_told(answers: list[Asked]) -> None:
    """What is held is marked as stale after a second, and what is not has the reason why."""
    assert any(one.body["stale"] for one in answers if one.kind == "held")
    assert any(one.status == 503 for one in answers if one.kind == "new")
    assert any(one.body["reason"] == "store_down" for one in answers if one.kind == "new hybrid")


def _recovers(world: World) -> None:
    """The same process answers all again, and nothing is stale."""
    deadline, calm = time.monotonic() + 60, 0
    while calm < 20:  # in a row: reads that were late may still come to an end
        assert time.monotonic() < deadline
        calm = calm + 1 if world.look_up(BUYS, next(strangers)).status == 404 else 0
        time.sleep(0.05)
    after = load(world, 0.3)
    assert {(one.kind, one.status) for one in after if one.status != 200} == {("new", 404)}
    assert not any(one.body.get("stale") for one in after)
    assert {one.body["reason"] for one in after if one.kind == "new hybrid"} == {"unknown_entity"}
    assert world.process is not None
    assert world.process.poll() is None
    assert world.get("/readyz").json["status"] == "ok"
