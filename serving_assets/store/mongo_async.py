"""Reading the online store in MongoDB without ever making other requests wait.

Here: control records and reads on PyMongo's asynchronous client, by the rules that read.py has for all. Not here:
writing, or what is done with the answers (serving/).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_preferences import ReadPreference

from serving_assets.store.control_record import Control
from serving_assets.store.mongo_client import CONTROL, LOCAL, MAJORITY, Deployment
from serving_assets.store.mongo_documents import Fields, check_name, from_document, from_record
from serving_assets.store.mongo_errors import explained
from serving_assets.store.read import ATTEMPTS, answer, restless, was_lost
from serving_assets.store.records import Document, Entity, Reading, check_entities

READS = 2_000

Session = AsyncClientSession | None


class AsyncMongoReader:
    """Reads what MongoStore has published, for one event loop; the arguments are those of Deployment.

    Control records are read from the primary, documents from the members that the read preference names; a session
    then sees to it that these are no older than the record. The driver itself sends a read once more when the
    connection breaks; a caller that wants more patience asks again.
    """

    def __init__(self, uri: str, **about: Any) -> None:
        self._deployment = Deployment(uri, **about)
        self._where = self._deployment.where()
        self._reads_primary = self._deployment.reads_primary()
        self._client: AsyncMongoClient[Fields] | None = None

    async def control(self, collection: str) -> Control | None:
        """See OnlineStore.control."""
        with explained(self._where):
            return await self._control(collection, None)

    async def read(self, collection: str, entities: Sequence[Entity]) -> Reading:
        """See read.py."""
        check_entities(entities)
        check_name(collection)
        with explained(self._where):
            async with self._causal() as session:
                return await self._read(collection, entities, session)

    async def close(self) -> None:
        """Close the connections; a later read opens new ones."""
        client, self._client = self._client, None
        if client:
            await client.close()

    async def _read(self, collection: str, entities: Sequence[Entity], session: Session) -> Reading:
        for _ in range(ATTEMPTS):
            control = await self._control(collection, session)
            if control is None or control.published is None:
                return Reading(control, [None] * len(entities))
            began = monotonic()
            documents = await self._documents(collection, list(dict.fromkeys(entities)), session)
            reading = answer(collection, control, documents, entities, monotonic() - began)
            if reading and None not in reading.values:
                return reading
            if reading and not was_lost(control, await self._control(collection, session)):
                return reading
        raise restless(collection)

    async def _control(self, collection: str, session: Session) -> Control | None:
        controls = self._database()[CONTROL].with_options(read_concern=MAJORITY, read_preference=ReadPreference.PRIMARY)
        record = await controls.find_one(collection, session=session)
        return None if record is None else from_record(collection, record)

    async def _documents(self, collection: str, entities: Sequence[Entity], session: Session) -> dict[Entity, Document]:
        found: dict[Entity, Document] = {}
        concern = LOCAL if self._reads_primary else MAJORITY
        documents = self._database()[collection].with_options(read_concern=concern)
        for start in range(0, len(entities), READS):
            some = list(entities[start : start + READS])
            async for stored in documents.find({"_id": {"$in": some}}, batch_size=len(some) + 1, session=session):
                document = from_document(collection, stored)
                found[document.entity] = document
        return found

    @asynccontextmanager
    async def _causal(self) -> AsyncIterator[Session]:
        if self._reads_primary:
            yield None
            return
        async with self._database().client.start_session(causal_consistency=True) as session:
            yield session

    def _database(self) -> AsyncDatabase[Fields]:
        if self._client is None:
            self._client = AsyncMongoClient(self._deployment.uri, **self._deployment.options())
        return self._client[self._deployment.database_name()]
