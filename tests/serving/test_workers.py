"""Several workers behind one socket: real processes, which agree, are replaced, and are counted together."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from serving_assets.serving.http.keys import create_key
from serving_assets.serving.reading.cache import OVERHEAD
from tests.serving.conftest import SCORES
from tests.serving.world import BUYS, ROOT, World, soon

pytestmark = pytest.mark.long

ONE = f"{ROOT}/{BUYS}/predictions/7"
WORKERS = 3


class Line:
    """A connection that stays open, and so speaks with one worker."""

    def __init__(self, world: World) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
        self.ask("/livez")

    def ask(self, path: str = ONE) -> tuple[int, bytes]:
        """One request; the answer names its worker by the first part of the request's id."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        self.worker = str(answer.headers["x-request-id"]).partition("-")[0]
        return answer.status, answer.read()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def a_line_to_each(world: World) -> Iterator[list[Line]]:
    """One connection to every worker."""
    deadline = time.monotonic() + 30
    with ExitStack() as opened:
        found: dict[str, Line] = {}
        while len(found) < WORKERS:
            assert time.monotonic() < deadline
            line = Line(world)
            if line.worker in found:
                line.close()
                time.sleep(0.01)
            else:
                found[line.worker] = opened.enter_context(closing(line))
        yield list(found.values())


def children(world: World) -> list[int]:
    """The processes of the workers."""
    assert world.process is not None
    pid = world.process.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def counted(world: World, name: str) -> float:
    """A metric of buys_again, summed over its other labels."""
    text = world.get("/metrics").body.decode()
    return sum(
        float(value) for value in re.findall(rf'^serving_assets_{name}{{.*"{BUYS}".*}} (\S+)$', text, flags=re.M)
    )


def settled(world: World, generation: float) -> bool:
    """Whether the gauge names `generation` in time: it has a pulse of a second."""
    return soon(lambda: counted(world, "generation") == generation)


@pytest.fixture
def workers(own_world: World) -> Iterator[World]:
    """A world with several workers."""
    with own_world.served("--workers", str(WORKERS)) as world:
        yield world


def test_workers_agree_and_are_counted_together(workers: World) -> None:
    """Every worker answers, sees a publish within a second, and is in the metrics whichever worker gives them."""
    with a_line_to_each(workers) as lines:
        assert len(children(workers)) == WORKERS
        for line in lines:
            assert json.loads(line.ask()[1])["generation"] == 1
        before = counted(workers, "predictions_total")
        for line in lines:
            for _ in range(10):
                line.ask()
        assert counted(workers, "predictions_total") == before + 10 * WORKERS
        assert settled(workers, 1.0)
        collection = workers.collection(BUYS)
        collection.documents = {id: json.dumps({"v": value}) for id, value in SCORES.items()}
        collection.publish({7: {"score": 0.5}})
        with ThreadPoolExecutor(WORKERS) as pool:
            asked = pool.map(lambda line: soon(lambda: b'"score":0.5' in line.ask()[1]), lines)
        assert all(asked)
        assert settled(workers, 2.0)


def test_a_killed_worker_is_replaced(workers: World) -> None:
    """When workers are killed the others go on, new ones take their place, and their gauges leave the sums."""
    with a_line_to_each(workers) as lines:
        for line in lines:
            line.ask()
        assert soon(lambda: counted(workers, "cache_bytes") >= WORKERS * OVERHEAD)
        held = counted(workers, "cache_bytes")
        dead = children(workers)
    for pid in dead[1:]:
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: len(set(children(workers)) - set(dead)) == WORKERS - 1)
    with a_line_to_each(workers) as lines:
        assert counted(workers, "cache_bytes") == held / WORKERS
        assert [line.ask()[0] for line in lines] == [200] * WORKERS


def test_rates_are_shared_by_the_workers(own_world: World) -> None:
    """A key's rate holds for all workers together, whoever answers."""
    _, secret = create_key(own_world.data / "api-keys.json", "shop", [BUYS], rate=WORKERS, days=None)
    with own_world.served("--workers", str(WORKERS)) as world:
        began = time.monotonic()
        statuses = [world.get(ONE, x_api_key=secret).status for _ in range(60)]
        took = time.monotonic() - began
    assert 200 in statuses
    assert statuses.count(200) <= WORKERS * (took + 3)  # bursts of two seconds, and a second of rounding


def test_a_worker_that_cannot_start_ends_the_server(own_world: World) -> None:
    """What no worker can read is told once, and ends the server with an error instead of a loop of restarts."""
    (own_world.data / "api-keys.json").write_text("no keys at all")
    with pytest.raises(AssertionError, match="cannot be read"), own_world.served("--workers", "2"):
        pass
    assert own_world.process is not None
    assert own_world.process.returncode == 1
