"""The API over a real MongoDB server. Not here: a server in trouble (tests/faults)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving_assets.serving.reading.reader import ThreadReader, open_reader
from serving_assets.settings import Settings
from serving_assets.store.mongo_async import AsyncMongoReader
from tests.serving.world import BUYS, TOWN, World, soon, write_world


@pytest.mark.parametrize(
    ("uri", "kind"), [("mongodb://db.example/", AsyncMongoReader), ("sqlite:///x.db", ThreadReader)]
)
def test_mongodb_is_read_without_threads(uri: str, kind: type) -> None:
    """MongoDB is asked through its asynchronous client, and only a synchronous store by threads."""
    assert type(open_reader(uri, Settings().mongodb)) is kind


@pytest.mark.must_run
def test_look_ups_from_mongodb(tmp_path: Path, mongodb_database: str) -> None:
    """One id and many are answered from the database that the settings name, and a publish is seen within a second."""
    made = World(tmp_path / "data", write_world(tmp_path / "catalog"), store=mongodb_database)
    made.data.mkdir()
    collection = made.collection(BUYS)
    collection.publish({id: {"score": id / 100} for id in range(1, 51)})
    made.collection(TOWN).publish({"$gt": {"score": 0.5}})
    address = urlsplit(mongodb_database)
    server = address._replace(path="/").geturl()
    with made.served(MONGODB_URI=server, MONGODB_DATABASE=address.path.strip("/")) as world:
        assert world.look_up(BUYS, 7).json["prediction"] == {"score": 0.07}
        assert [one["status"] for one in world.batch(BUYS, [7, 99]).json["items"]] == ["found", "not_found"]
        assert world.look_up(TOWN, "$gt").json["entity_id"] == "$gt"
        assert world.batch(TOWN, [{"$gt": ""}]).status == 400
        collection.publish({7: {"score": 0.5}})
        assert soon(lambda: world.look_up(BUYS, 7).json["prediction"] == {"score": 0.5})
