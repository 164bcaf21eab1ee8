"""Looking up what was published: one id, or many.

Here: the two answers, made of bytes that were prepared when the document was read. Not here: reading it
(serving/reading/collection.py), scoring (scoring.py).
"""

from __future__ import annotations

import time
from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

from serving_assets.catalog.entity_ids import expected, parser
from serving_assets.catalog.spec import UseCase
from serving_assets.catalog.timing import has_expired
from serving_assets.serving.http.answer import JSON, NO_STORE, Answer
from serving_assets.serving.http.problems import Problem, bad_request, unavailable
from serving_assets.serving.http.request import HttpRequest
from serving_assets.serving.reading.cache import Entry, Version
from serving_assets.serving.reading.collection import FollowedCollection, Unavailable
from serving_assets.serving.reading.freshness import STALE, Freshness
from serving_assets.store import Entity, Found

BATCH = "batch"


def fragment(found: Found) -> tuple[bytes, int]:
    """The members of an answer that only a new generation can change, without braces; and their size."""
    members = {
        "entity_id": found.entity,
        "prediction": found.value,
        "as_of": found.as_of,
        "model_version": found.model_version,
    }
    text = orjson.dumps(members)[1:-1]
    return text, len(text)


class Lookup:
    """The look-ups of one use case in its published collection."""

    def __init__(self, spec: UseCase, collection: FollowedCollection[bytes], *, most_ids: int) -> None:
        self.spec, self.collection = spec, collection
        self.parse = parser(spec.entity)
        self._most_ids = most_ids
        self._expected = expected(spec.entity)
        self._days = spec.predictions.expire_after_days
        self._freshness = Freshness(spec.schedule, spec.serve)
        self._head = b'{"use_case":"%b","source":"batch",' % spec.name.encode()
        self._of_version: tuple[Version | None, bytes, bytes] = (None, b"", b"")

    async def one(self, request: HttpRequest, text: str) -> Answer:
        """The prediction of the entity whose id is `text`.

        Raises:
            Problem: 404 when there is none or it has expired, 503 when the store and the memory do not have it.
        """
        entity = self.parse(text)
        if entity is None:
            raise bad_request(f"The id in the path is not valid: {self._expected}.")
        entry, stale = self.collection.cached(entity), False
        if entry is None:
            try:
                entry, stale = await self.collection.get(entity)
            except Unavailable as error:
                raise unavailable(str(error)) from None
        if entry.content is None or has_expired(entry.as_of, self._days, time.time()):
            raise self._absent(entry)
        etag, _ = self._parts(entry.version)
        headers = (
            JSON,
            (b"cache-control", STALE if stale else self._freshness.header(entry.version)),
            (b"etag", etag),
        )
        if not stale and request.headers.get(b"if-none-match") and self._matches(request, etag):
            return Answer(304, b"", headers[1:], BATCH)
        body = self.body(entry, stale)
        return Answer(200, body, headers[:2] if stale else headers, BATCH)

    def body(self, entry: Entry[bytes], stale: bool, more: bytes = b"") -> bytes:
        """The answer for an entry that has a document, with `more` members in JSON, each with a comma before it."""
        age = max(int(time.time() - entry.as_of), 0)
        marked = b"true" if stale else b"false"
        _, tail = self._parts(entry.version)
        text = entry.content or b""
        return b'%b%b%b,"age_seconds":%d,"stale":%b%b}' % (self._head, text, tail, age, marked, more)

    async def many(self, ids: list[Any]) -> Answer:
        """The predictions of `ids`, in their order, all of one generation.

        Raises:
            Problem: 400 when an id is not valid, 503 when the store and the memory do not have all.
        """
        entities = self._entities(ids)
        try:
            batch = await self.collection.get_many(entities)
        except Unavailable as error:
            raise unavailable(str(error)) from None
        now = time.time()
        items = [self._item(entity, entry, now) for entity, entry in zip(entities, batch.entries, strict=True)]
        version = batch.version
        as_of = datetime.fromisoformat(version.as_of).timestamp()
        body = b'%b"generation":%d,"as_of":%b,"model_version":%b,"age_seconds":%d,"stale":%b,"items":[%b]}' % (
            self._head,
            version.number,
            orjson.dumps(version.as_of),
            orjson.dumps(version.model_version),
            max(int(now - as_of), 0),
            b"true" if batch.stale else b"false",
            b",".join(items),
        )
        return Answer(200, body, (JSON, NO_STORE), BATCH)

    def _entities(self, ids: list[Any]) -> list[Entity]:
        if not 0 < len(ids) <= self._most_ids:
            raise bad_request(f"ids must have 1 to {self._most_ids} items.")
        entities: list[Entity] = []
        for index, value in enumerate(ids):
            entity = self.parse(value)
            if entity is None:
                raise bad_request(f"ids[{index}] is not valid: {self._expected}.")
            entities.append(entity)
        return entities

    def _item(self, entity: Entity, entry: Entry[bytes], now: float) -> bytes:
        if entry.content is not None and not has_expired(entry.as_of, self._days, now):
            age = max(int(now - entry.as_of), 0)
            return b'{"status":"found",%b,"age_seconds":%d}' % (entry.content, age)
        status = b"not_found" if entry.content is None else b"expired"
        return b'{"status":"%b","entity_id":%b}' % (status, orjson.dumps(entity))

    def _absent(self, entry: Entry[bytes]) -> Problem:
        members = {"use_case": self.spec.name, "generation": entry.version.number}
        if entry.content is None:
            return Problem("not-found", f"No {self.spec.entity.key} has this id.", members=members)
        return Problem("expired", f"It is older than {self._days} days.", members=members)

    def _parts(self, version: Version) -> tuple[bytes, bytes]:
        """The ETag, and the members that name the generation: the same for all answers of a version."""
        known, etag, tail = self._of_version
        if known is not version:
            mark = blake2b(f"{version}".encode(), digest_size=6).hexdigest()
            etag, tail = f'W/"{version.number}-{mark}"'.encode(), b',"generation":%d' % version.number
            self._of_version = (version, etag, tail)
        return etag, tail

    @staticmethod
    def _matches(request: HttpRequest, etag: bytes) -> bool:
        given = [one.strip() for one in request.headers[b"if-none-match"].split(b",")]
        return b"*" in given or etag in given or etag.removeprefix(b"W/") in given
