"""The API over a real MongoDB server, and over one whose network is cut, slow, and back again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.serving.world import BUYS, TOWN, World, within_a_second, write_world


class Proxy:
    """A TCP proxy on loopback that can stop passing bytes on (`slow`), or drop and refuse connections (`cut`)."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def sever(self) -> None:
        """Drop every connection, and each new one at once."""
        self.cut = True
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            here, _ = self._listener.accept()
            if self.cut:
                here.close()
                continue
            there = socket.create_connection(self._target)
            self._open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def over_mongodb(root: Path, uri: str) -> Iterator[tuple[World, Proxy]]:
    """A served world whose store is MongoDB behind a proxy."""
    parts = urlsplit(uri)
    proxy = Proxy(parts.hostname or "", parts.port or 0)
    world = World(root / "data", write_world(root / "catalog"), store=uri)
    world.data.mkdir()
    world.collection(BUYS).publish({id: {"score": id / 100} for id in range(1, 51)})
    world.collection(TOWN).publish({"$gt": {"score": 0.5}})
    through = parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
    with world.served(MONGODB_URI=through) as served:
        yield served, proxy


@pytest.mark.must_run
def test_look_ups_from_mongodb(tmp_path: Path, mongodb_database: str) -> None:
    """One id and many are answered from MongoDB, and a publish is seen within a second."""
    with over_mongodb(tmp_path, mongodb_database) as (world, _):
        assert world.look_up(BUYS, 7).json["prediction"] == {"score": 0.07}
        assert [one["status"] for one in world.batch(BUYS, [7, 99]).json["items"]] == ["found", "not_found"]
        assert world.look_up(TOWN, "$gt").json["entity_id"] == "$gt"
        assert world.batch(TOWN, [{"$gt": ""}]).status == 400
        collection = world.collection(BUYS)
        collection.documents = {id: f'{{"v": {{"score": {id / 100}}}}}' for id in range(1, 51)}
        collection.publish({7: {"score": 0.5}})
        assert within_a_second(lambda: world.look_up(BUYS, 7).json["prediction"] == {"score": 0.5})


@pytest.mark.must_run
@pytest.mark.parametrize("how", ["cut", "slow"])
def test_a_lost_database_costs_what_is_not_in_memory(tmp_path: Path, mongodb_database: str, how: str) -> None:
    """While MongoDB is away what is held is served as stale and the rest refused quickly; it is found back unaided."""
    with over_mongodb(tmp_path, mongodb_database) as (world, proxy):
        assert world.look_up(BUYS, 7).status == 200
        if how == "cut":
            proxy.sever()
        else:
            proxy.flowing.clear()
        deadline = time.monotonic() + 10
        while not world.look_up(BUYS, 7).json["stale"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        began = time.monotonic()
        assert [world.look_up(BUYS, id).status for id in (7, 8, 7, 9)] == [200, 503, 200, 503]
        assert world.score(BUYS, entity_id=8).status == 503  # its models are not here: no answer, and no crash
        assert time.monotonic() - began < 5 * 2.0
        proxy.cut = False
        proxy.flowing.set()
        deadline = time.monotonic() + 20
        while world.look_up(BUYS, 8).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert world.look_up(BUYS, 7).json["stale"] is False
