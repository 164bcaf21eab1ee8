"""The online store in MongoDB.

Here: the protocol's primitives as MongoDB's commands, and who tries again when a command fails in passing. Not here:
the protocol itself, what documents look like (mongo_documents.py), how the deployment is reached (mongo_client.py).

Only single documents are ever written atomically: no transaction, no rename, so replica sets and sharded clusters
(shard key `_id`, hashed) serve alike. A document is replaced if it still is what it was seen to be, and looked at
again if not. Whatever is sent twice, because an answer was lost, finds itself done the second time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pymongo import InsertOne, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from serving_assets.store.control_record import Control, Ranges
from serving_assets.store.mongo_client import INDEXES, Connection, Deployment
from serving_assets.store.mongo_documents import (
    GONE,
    Fields,
    at_base,
    content,
    from_document,
    from_record,
    guessed,
    is_done,
    is_newer,
    shown_in_cur,
    slot,
    strays,
    to_document,
    to_record,
    unseen,
    without_generation,
)
from serving_assets.store.mongo_errors import duplicates, may_pass
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.records import BareChange, Document, Entity, StoreError

WRITES = 2_000
READS = 2_000
ROUNDS = 100
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

Operation = InsertOne[Fields] | ReplaceOne[Fields]

S = TypeVar("S")
T = TypeVar("T")


class MongoStore(OnlineStore):
    """An OnlineStore in a MongoDB database.

    Args:
        uri: `mongodb://` or `mongodb+srv://`.
        patience_seconds: how long a command that fails in passing is tried again, with growing pauses.
        about: the other fields of Deployment.
    """

    def __init__(self, uri: str, *, patience_seconds: float = 60.0, **about: Any) -> None:
        deployment = Deployment(uri, **about)
        self._mongo = Connection(deployment)
        self._writers = deployment.writers
        self._patience_seconds = patience_seconds

    def control(self, collection: str) -> Control | None:
        """One document by its key, from the primary, as a majority has confirmed it."""
        with self._mongo.explained(), self._mongo.causal() as session:
            record = self._patiently(lambda: self._mongo.controls().find_one(collection, session=session))
        return None if record is None else from_record(collection, record)

    def swap(self, collection: str, expected_revision: int, control: Control) -> bool:
        """One insert or replacement; the first of a collection creates the indexes too."""
        record, sent = to_record(collection, control), 0

        def replace() -> bool:
            nonlocal sent
            sent += 1
            if expected_revision:
                of_revision = {"_id": collection, "revision": expected_revision}
                return self._mongo.controls().replace_one(of_revision, record).matched_count == 1
            try:
                self._mongo.controls().insert_one(record)
            except DuplicateKeyError:
                return False
            return True

        with self._mongo.explained():
            documents = self._mongo.documents(collection)
            if not expected_revision:
                self._patiently(lambda: documents.create_indexes(list(INDEXES)))
            replaced = self._patiently(replace)
        # Of several sendings an earlier one, whose answer was lost, may be what the last one met.
        return replaced or (sent > 1 and self.control(collection) == control)

    def collections(self) -> list[str]:
        """All of them, in one query."""
        with self._mongo.explained():
            return sorted(self._patiently(lambda: [r["_id"] for r in self._mongo.controls().find({}, {"_id": 1})]))

    def documents(self, collection: str, entities: Sequence[Entity]) -> dict[Entity, Document]:
        """As many queries as the number of `entities` asks for."""
        with self._mongo.explained(), self._mongo.causal() as session:
            readable = self._mongo.documents_for_readers(collection)
            stored = [
                found
                for some in _parts(entities, READS)
                for found in self._patiently(partial(_by_id, readable, some, session))
            ]
        return {document.entity: document for document in (from_document(collection, found) for found in stored)}

    def every_document(self, collection: str) -> Iterator[Document]:
        """One cursor."""
        with self._mongo.explained(), self._mongo.documents(collection).find({}, batch_size=READS) as cursor:
            for stored in cursor:
                yield from_document(collection, stored)

    def upsert(
        self, collection: str, generation: int, base: int | None, void: Ranges, changes: Sequence[BareChange]
    ) -> None:
        """Bulk writes side by side. What `old` says is a guess that the query proves; where it fails, we look."""

        def write(some: Sequence[BareChange]) -> None:
            pending = self._write(collection, [(c, _guess(c, generation, base, in_cur)) for c in some])
            for _ in range(ROUNDS):
                if not pending:
                    return
                seen = self._seen(collection, pending)
                planned = [(c, _replacement(c, seen.get(c[0]), generation, base, void)) for c in pending]
                pending = self._write(collection, [(c, operation) for c, operation in planned if operation])
            raise _restless(collection)

        in_cur = {} if base is None else shown_in_cur(base, void)
        with self._mongo.explained(), ThreadPoolExecutor(self._writers) as pool:
            # Parts of one size, so that no writer waits for another's last one.
            rounds = max(round(len(changes) / (WRITES * self._writers)), 1)
            list(pool.map(write, _parts(changes, -(-len(changes) // (rounds * self._writers)) or 1)))

    def settle(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """Page after page, each looked up by the index on `cur.g`."""

        def settled(stored: Fields) -> Fields:
            prev = GONE if base is None or stored["prev"] is None else without_generation(stored["prev"])
            return to_document(stored["_id"], {"g": generation, **prev}, base, prev)

        return self._rewrite(collection, strays(generation, base, void), settled)

    def clear(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """Page after page."""
        if base is None:
            return 0

        def cleared(stored: Fields) -> Fields:
            return to_document(stored["_id"], slot(generation, None), base, without_generation(stored["cur"]))

        return self._rewrite(collection, {**shown_in_cur(base, void), "cur.gone": {"$exists": False}}, cleared)

    def count(self, collection: str, generation: int, void: Ranges) -> int:
        """All documents less those that a reader would not find, which the indexes tell."""
        with self._mongo.explained():
            documents = self._mongo.documents(collection)
            there = self._patiently(lambda: documents.count_documents({}, hint="_id_"))
            return there - self._patiently(lambda: documents.count_documents(unseen(generation, void)))

    def remove(self, collection: str, newest: int, void: Ranges) -> int:
        """One command."""
        with self._mongo.explained():
            documents = self._mongo.documents(collection)
            query = {"cur.gone": True, **shown_in_cur(newest, void)}
            return self._patiently(lambda: documents.delete_many(query)).deleted_count

    def close(self) -> None:
        """Close the connections of this process."""
        self._mongo.close()

    def _seen(self, collection: str, changes: Sequence[BareChange]) -> dict[Entity, Fields]:
        """The documents to change, as the primary stores them."""
        documents = self._mongo.documents(collection)
        stored = self._patiently(partial(_by_id, documents, [entity for entity, _, _ in changes], None))
        return {found["_id"]: found for found in stored}

    def _write(self, collection: str, planned: Sequence[tuple[BareChange, Operation]]) -> list[BareChange]:
        """Send the operations in one bulk; returns the changes that have to be looked at, because they met another."""
        if not planned:
            return []
        matched, met = self._bulk(collection, [operation for _, operation in planned])
        replacing = [change for change, operation in planned if isinstance(operation, ReplaceOne)]
        return [planned[index][0] for index in met] + (replacing if matched < len(replacing) else [])

    def _rewrite(self, collection: str, query: Fields, anew: Callable[[Fields], Fields]) -> int:
        """Replace all documents that match `query`; afterwards they no longer do."""
        written = idle = 0
        with self._mongo.explained():
            documents = self._mongo.documents(collection)
            while page := self._patiently(lambda: list(documents.find(query, limit=WRITES))):
                matched, _ = self._bulk(collection, [ReplaceOne(_unchanged(stored), anew(stored)) for stored in page])
                written += matched
                idle = 0 if matched else idle + 1
                if idle > ROUNDS:
                    raise _restless(collection)
        return written

    def _bulk(self, collection: str, operations: Sequence[Operation]) -> tuple[int, set[int]]:
        """How many documents were replaced, and the positions of the inserts whose document was there already."""

        def send() -> tuple[int, set[int]]:
            try:
                return documents.bulk_write(operations, ordered=False).matched_count, set()
            except BulkWriteError as error:
                return error.details["nMatched"], duplicates(error)

        documents = self._mongo.documents(collection)
        return self._patiently(send)

    def _patiently(self, command: Callable[[], T]) -> T:
        """The command's answer; what may pass is tried again until the patience is at its end."""
        pause, deadline = FIRST_PAUSE_SECONDS, time.monotonic() + self._patience_seconds
        while True:
            try:
                return command()
            except PyMongoError as error:
                if not may_pass(error) or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _by_id(documents: Collection[Fields], entities: Sequence[Entity], session: ClientSession | None) -> list[Fields]:
    # With room for one more the server knows that the first answer is the last, too.
    query = {"_id": {"$in": list(entities)}}
    return list(documents.find(query, batch_size=len(entities) + 1, session=session))


def _guess(change: BareChange, generation: int, base: int | None, in_cur: Fields) -> Operation:
    """The operation that is right if the store shows `change.old` at `base`, and does nothing otherwise."""
    entity, old, new = change
    cur = slot(generation, new)
    if base is None or old is None:
        return InsertOne(to_document(entity, cur, base, GONE))
    held = content(old)
    return ReplaceOne(guessed(entity, held, in_cur), to_document(entity, cur, base, held))


def _replacement(
    change: BareChange, stored: Fields | None, generation: int, base: int | None, void: Ranges
) -> Operation | None:
    """The operation for what the store was seen to hold; None when the change is done, or overtaken."""
    entity, _, new = change
    cur = slot(generation, new)
    if stored is None:
        return InsertOne(to_document(entity, cur, base, GONE))
    if is_newer(stored, generation) or is_done(stored, generation, base, new):
        return None
    return ReplaceOne(_unchanged(stored), to_document(entity, cur, base, at_base(stored, base, void)))


def _unchanged(stored: Fields) -> Fields:
    """The stored document, if it was not written since."""
    return {"_id": stored["_id"], "cur": stored.get("cur"), "prev": stored.get("prev")}


def _parts(items: Sequence[S], size: int) -> list[Sequence[S]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _restless(collection: str) -> StoreError:
    return StoreError(
        f"{collection}: documents were changed by others {ROUNDS} times in a row while they were being written.",
        hint="Find out who else writes to this collection: only this project may.",
    )
