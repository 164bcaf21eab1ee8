"""The MongoDB store: the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pymongo import MongoClient

from serving_assets.store import OnlineStore
from serving_assets.store.mongo import MongoStore
from tests.store.conformance import StoreConformance
from tests.store.rules import StoreFactory


@pytest.mark.must_run
class TestMongo(StoreConformance):
    @pytest.fixture
    def store_factory(self, mongodb_uri: str) -> Iterator[StoreFactory]:
        opened: list[OnlineStore] = []
        prefix = f"tests_{uuid4().hex[:12]}_"

        def open_named(name: str) -> OnlineStore:
            opened.append(MongoStore(mongodb_uri, database=prefix + name))
            return opened[-1]

        yield open_named
        for store in opened:
            store.close()
        with MongoClient[dict[str, object]](mongodb_uri) as client:
            for name in client.list_database_names():
                if name.startswith(prefix):
                    client.drop_database(name)
