"""The MongoDB store: the protocol, how it is reached, and what it leaves there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from serving_assets.errors import InputError
from serving_assets.settings import Settings
from serving_assets.store import OnlineStore, Reading, StoreError, open_store, publish, read, rollback, scan
from serving_assets.store.mongo import MongoStore
from serving_assets.store.mongo_async import AsyncMongoReader
from serving_assets.store.mongo_client import Deployment
from tests.store.conformance import StoreConformance
from tests.store.rules import ALL, ONE, TWO, C, StoreFactory
from tests.store.snapshots import changes, published, seen, snapshot, target

pytestmark = [pytest.mark.must_run, pytest.mark.timeout(900)]


@pytest.mark.long
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
        with MongoClient[dict[str, Any]](mongodb_uri) as client:
            for name in client.list_database_names():
                if name.startswith(prefix):
                    client.drop_database(name)


@pytest.fixture
def store(mongodb_database: str) -> Iterator[MongoStore]:
    """A store in a database of its own."""
    with MongoStore(mongodb_database, writers=2) as store:
        yield store


@pytest.fixture
def stored(mongodb_database: str) -> Iterator[Any]:
    """The database as other programs see it."""
    with MongoClient[dict[str, Any]](mongodb_database) as client:
        yield client.get_default_database()


# How it is reached


def test_settings_choose_mongodb(mongodb_database: str, stored: Any) -> None:
    """With MONGODB_URI set the pipeline publishes there, into the database that its setting names."""
    settings = Settings.model_validate({"mongodb_uri": mongodb_database, "mongodb_database": stored.name})
    assert settings.store_kind == "mongodb"
    with open_store(settings.store, settings.mongodb) as store:
        published(store, C, {}, ONE)
    assert sorted(stored.list_collection_names()) == sorted(["_control", C])
    assert Settings.model_validate({"mongodb_uri": "mongodb+srv://host"}).store_kind == "mongodb"
    assert Settings.model_validate({"mongodb_uri": "mongodb://h", "store_uri": "sqlite:///x"}).store_kind == "sqlite"


def test_a_password_is_never_shown() -> None:
    """Neither the settings nor what is made of them print the URI."""
    settings = Settings.model_validate({"mongodb_uri": "mongodb://me:pa55word@host"})
    assert "pa55word" not in f"{settings!r} {settings} {Deployment(settings.store)!r}"


def test_the_uri_has_precedence() -> None:
    """What the URI says is left to it, and what it leaves open has a safe default."""
    plain = Deployment("mongodb://host").options()
    assert (plain["w"], plain["readPreference"], plain["serverSelectionTimeoutMS"]) == ("majority", "primary", 30_000)
    said = Deployment("mongodb://host/?w=2&readPreference=nearest&serverSelectionTimeoutMS=5").options()
    assert not {"w", "readPreference", "serverSelectionTimeoutMS"} & set(said)
    assert Deployment("mongodb://host", write_concern="3").options()["w"] == 3
    assert not Deployment("mongodb://host/?readPreference=nearest").reads_primary()


@pytest.mark.parametrize(
    ("uri", "database", "expected"),
    [
        ("mongodb://host", "", "serving_assets"),
        ("mongodb://host/shop", "", "shop"),
        ("mongodb://host/shop", "other", "other"),
    ],
)
def test_the_name_of_the_database(uri: str, database: str, expected: str) -> None:
    """The setting, or else the URI, or else the project names the database."""
    assert Deployment(uri, database).database_name() == expected


@pytest.mark.parametrize("about", [{"write_concern": "0"}, {"database": "a b"}])
def test_unusable_settings(about: dict[str, str], mongodb_uri: str) -> None:
    """A setting that MongoDB cannot follow is refused at the first use, with its name."""
    with pytest.raises((InputError, StoreError), match="MONGODB_"), MongoStore(mongodb_uri, **about) as store:
        store.control(C)


def test_secondaries_need_a_replica_set(mongodb_database: str) -> None:
    """Reads from secondaries see what the control record promises, or say that this deployment cannot promise it."""
    with MongoStore(mongodb_database) as writer, MongoStore(mongodb_database, read_preference="nearest") as reader:
        published(writer, C, {}, ONE)
        try:
            assert seen(reader, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
        except InputError as error:
            assert "Sessions are not supported" in str(error)  # noqa: PT017 (a deployment answers in one of two ways)


# What it leaves there


def test_people_can_read_it(store: MongoStore, stored: Any) -> None:
    """Documents lie under the entity's own id with their fields, and the control record says what is active."""
    published(store, C, {}, snapshot({1: 0.5, "a": 1}))
    published(store, C, snapshot({1: 0.5, "a": 1}), snapshot({1: 0.25}), as_of="day 2")
    assert stored[C].find_one(1) == {
        "_id": 1, "cur": {"g": 2, "v": {"score": 0.25}}, "prev": {"g": 1, "v": {"score": 0.5}},
    }  # fmt: skip
    assert stored[C].find_one("a") == {"_id": "a", "cur": {"g": 2, "gone": True}, "prev": {"g": 1, "v": {"score": 1}}}
    record = stored["_control"].find_one(C)
    assert (record["published"]["number"], record["published"]["as_of"], record["before"]["number"]) == (2, "day 2", 1)


def test_indexes_are_made(store: MongoStore, stored: Any) -> None:
    """The first publish makes the indexes that repairs and retention need."""
    published(store, C, {}, ONE)
    assert {"cur.g_1", "cur.gone_1"} <= set(stored[C].index_information())


def test_foreign_documents_are_mended_by_a_rewrite(store: MongoStore, stored: Any) -> None:
    """What somebody else broke is an error for readers until a publish with rewrite, which tells nobody a lie."""
    published(store, C, {}, ONE)
    stored[C].replace_one({"_id": 1}, {"score": "high"})
    stored[C].replace_one({"_id": 2}, {"cur": {"g": "two"}, "prev": None})
    with pytest.raises(StoreError, match="not one that this project wrote"):
        read(store, C, [1])
    publish(store, C, changes(ONE, TWO, unchanged=True), target(TWO), writer="w", rewrite=True)
    assert dict(scan(store, C)) == TWO


def test_a_lost_control_record(store: MongoStore, stored: Any) -> None:
    """Without its control record nothing is available, whatever documents are left, and a publish starts anew."""
    published(store, C, {}, ONE)
    published(store, C, ONE, {**TWO, 7: ONE[1]})
    stored["_control"].delete_many({})
    assert not read(store, C, [1]).available
    published(store, C, {}, TWO, highest_known_generation=2)
    assert dict(scan(store, C)) == TWO


def test_batches_of_a_large_publish(store: MongoStore) -> None:
    """A publish of more documents than one bulk holds, changed and unchanged, new and gone, arrives whole."""
    old = snapshot({entity: entity / 7 for entity in range(9_000)})
    new = snapshot({entity: entity / (7 if entity % 2 else 8) for entity in range(1_000, 10_000)})
    published(store, C, {}, old)
    published(store, C, old, new, batch_rows=7_000)
    assert dict(scan(store, C)) == new
    rollback(store, C)
    assert dict(scan(store, C)) == old


# The asynchronous reader


def _asked(uri: str, question: Callable[[AsyncMongoReader], Awaitable[Reading]]) -> Reading:
    async def ask() -> Reading:
        reader = AsyncMongoReader(uri, timeout_seconds=2)
        try:
            return await question(reader)
        finally:
            await reader.close()

    return asyncio.run(ask())


def test_the_asynchronous_reader_answers_as_the_other_does(store: MongoStore, mongodb_database: str) -> None:
    """Both readers give the same answers, for many ids, unknown ones among them."""
    many = snapshot({entity: entity / 7 for entity in range(3_000)})
    assert not _asked(mongodb_database, lambda reader: reader.read(C, [1])).available
    published(store, C, {}, many)
    ids: list[Any] = [*range(2_900, 3_100), "1", *range(2_500)]
    assert _asked(mongodb_database, lambda reader: reader.read(C, ids)) == read(store, C, ids)


def test_the_asynchronous_reader_never_mixes(store: MongoStore, mongodb_database: str) -> None:
    """Whatever is published while it waits for documents, it answers from one generation."""
    published(store, C, {}, ONE)
    three = snapshot({2: 0.9})

    async def overtaken(reader: AsyncMongoReader) -> Reading:
        documents, overtakes = reader._documents, iter([(ONE, TWO), (TWO, three)])

        async def late(*about: Any) -> Any:
            for old, new in overtakes:
                published(store, C, old, new)
            return await documents(*about)

        reader._documents = late  # type: ignore[method-assign]
        return await reader.read(C, [1, 2])

    reading = _asked(mongodb_database, overtaken)
    assert reading.control
    assert reading.control.active == 3
    assert [value and value.value for value in reading.values] == [None, {"score": 0.9}]


def test_the_asynchronous_reader_explains(mongodb_database: str) -> None:
    """A server that is not there is reported with the setting to look at."""
    with pytest.raises(StoreError, match=r"127.0.0.1:1 is out of reach.*MONGODB_URI"):
        _asked("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", lambda reader: reader.read(C, [1]))
