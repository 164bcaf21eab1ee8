"""The SQLite store: the protocol, and the faults of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_assets.store import OnlineStore, SqliteStore
from tests.store.conformance import StoreConformance, StoreFactory


class TestSqlite(StoreConformance):
    @pytest.fixture
    def store_factory(self, tmp_path: Path) -> Iterator[StoreFactory]:
        opened: list[OnlineStore] = []

        def open_named(name: str) -> OnlineStore:
            opened.append(SqliteStore(tmp_path / f"{name}.db"))
            return opened[-1]

        yield open_named
        for store in opened:
            store.close()
