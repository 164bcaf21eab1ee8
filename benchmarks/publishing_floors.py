"""The floors of a publish: the documents that it wrote, ready-made, written by the bare driver.

Here: one function a floor, run in a process of its own. Not here: the publish (publishing_world.py), the floor of a
daily run (floors.py), whose inserts into SQLite are the same.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from pymongo import InsertOne, MongoClient, ReplaceOne

from benchmarks.floors import Floor
from serving_assets.store.mongo import WRITES
from serving_assets.store.mongo_client import INDEXES
from serving_assets.store.publish import BATCH_ROWS

Stored = dict[str, Any]


def bare_bulks(uri: str, entities: int, writers: int, again: bool) -> Floor:
    """PyMongo writes as many documents, in bulks of the same size, side by side, into a collection with our indexes.

    Inserts into an empty collection; `again`: replacements by `_id`, with both slots.
    """

    def document(entity: int) -> Stored:
        cur = {"g": 2 if again else 1, "v": {"score": entity % 9_973 / 10_000}}
        return {"_id": entity, "cur": cur, "prev": {"g": 1, "v": {"score": 0.5}} if again else None}

    made = [document(entity) for entity in range(1, entities + 1)]
    parts = [made[start : start + WRITES] for start in range(0, entities, WRITES)]
    with MongoClient[Stored](uri, w="majority") as client:
        collection = client.get_default_database()["bare"]
        if not again:
            collection.drop()
            collection.create_indexes(list(INDEXES))

        def write(part: Sequence[Stored]) -> None:
            replacing = [ReplaceOne({"_id": stored["_id"]}, stored) for stored in part] if again else None
            collection.bulk_write(replacing or [InsertOne(stored) for stored in part], ordered=False)

        began, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, parts))
        took = Floor(entities, time.perf_counter() - began, time.process_time() - cpu)
        if again:
            collection.drop()
        return took


def bare_inserts(store: Path) -> Floor:
    """SQLite inserts the documents of `store`, finished, into an empty table of the same columns.

    In the order of their keys and with the store's settings: a write-ahead log, transactions of as many documents.
    """
    with closing(sqlite3.connect(store)) as published:
        (layout,) = published.execute("SELECT sql FROM sqlite_master WHERE name = 'documents'").fetchone()
        rows = published.execute("SELECT * FROM documents ORDER BY collection, entity").fetchall()
    insert = f"INSERT INTO documents VALUES ({', '.join('?' * len(rows[0]))})"
    bare_file = store.with_name("bare.db")
    with closing(sqlite3.connect(bare_file, isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = NORMAL")
        bare.execute(layout)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(rows), BATCH_ROWS):
            bare.execute("BEGIN")
            bare.executemany(insert, rows[start : start + BATCH_ROWS])
            bare.execute("COMMIT")
        took = Floor(len(rows), time.perf_counter() - began, time.process_time() - cpu)
    for leftover in store.parent.glob("bare.db*"):
        leftover.unlink()
    return took
