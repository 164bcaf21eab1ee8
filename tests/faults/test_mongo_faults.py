"""A network and a server that fail while others publish to MongoDB and read from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from serving_assets.errors import ServingAssetsError
from serving_assets.store import Control, DocumentChange, StoreError, parity, read, scan
from serving_assets.store.mongo import MongoStore
from tests.faults.proxy import Cut, Delay, Disturbance, Proxy, Refuse, Rule, always, once, proxy_to
from tests.mongo_server import ServerProcess, own_server
from tests.store.snapshots import changes, published, snapshot, target

pytestmark = [pytest.mark.must_run, pytest.mark.long]

C = "purchase_propensity"
OLD = snapshot({entity: entity for entity in range(300)})
NEW = snapshot({entity: -entity if entity % 3 else entity for entity in range(100, 400)})
NO_MAJORITY = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out"}
DISK_FULL = {"code": 14031, "codeName": "OutOfDiskSpace", "errmsg": "No space left on device"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server that no test of this module harms."""
    with own_server() as process:
        yield process


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    """A network that is healthy at first."""
    with proxy_to(server.port) as proxy:
        yield proxy


@pytest.fixture
def database() -> str:
    """A database that nobody else uses."""
    return f"faults_{uuid4().hex[:12]}"


@pytest.fixture
def store(proxy: Proxy, database: str) -> Iterator[MongoStore]:
    """The writer's handle, behind the proxy."""
    with MongoStore(f"{proxy.uri}/{database}") as store:
        yield store


@pytest.fixture
def impatient(proxy: Proxy, database: str) -> Iterator[MongoStore]:
    """A handle that gives up a second after the first failure: for what goes on failing, and for nothing else."""
    with MongoStore(f"{proxy.uri}/{database}", patience_seconds=1) as store:
        yield store


@pytest.fixture
def reader(server: ServerProcess, database: str) -> Iterator[MongoStore]:
    """A reader whose network is healthy."""
    with MongoStore(server.uri, database=database) as store:
        yield store


def _publish(store: MongoStore, **options: Any) -> None:
    published(store, C, OLD, NEW, batch_rows=100, as_of="day 2", version=2, **options)


def _assert_undisturbed(store: MongoStore) -> None:
    """What is active is what an undisturbed run leaves behind."""
    goal = target(NEW)
    assert parity(store, C, goal.rows, goal.digest).equal
    control = store.control(C)
    assert control
    assert (control.clean, control.lease) == (True, None)
    assert control.published
    assert control.published.digest == goal.digest


WRITES = [
    ("insert", C, 1),
    ("update", C, 1),
    ("update", C, 2),
    ("update", "_control", 1),
    ("update", "_control", 2),
    ("find", "_control", 2),
    ("aggregate", C, 1),
]
"""Commands of one publish: of the documents, of the lease and the flip, of the verification."""


@pytest.mark.parametrize("after", [False, True], ids=["command lost", "answer lost"])
@pytest.mark.parametrize(("command", "about", "nth"), WRITES)
def test_a_connection_that_is_cut_once(
    command: str, about: str, nth: int, after: bool, proxy: Proxy, store: MongoStore, reader: MongoStore
) -> None:
    """A connection cut at any command, before or after the server got it, costs a publish nothing but time."""
    published(store, C, {}, OLD)
    proxy.rule = once(command, Cut(after), about=about, nth=nth)
    _publish(store)
    _assert_undisturbed(reader)


@pytest.mark.parametrize(
    ("disturbance", "cause"),
    [
        (Cut(), "broke the connection off"),
        (Cut(after=True), "broke the connection off"),
        (Refuse({"ok": 0.0, **DISK_FULL}), r"disk is full .code 14031: No space left on device"),
        (Refuse({"ok": 1.0, "n": 0, "nModified": 0, "writeErrors": [{"index": 0, **DISK_FULL}]}), "disk is full"),
        (Refuse({"ok": 0.0, "code": 13, "errmsg": "not authorized"}), "role readWrite"),
        (Refuse({"ok": 1.0, "n": 1, "nModified": 1, "writeConcernError": NO_MAJORITY}), "MONGODB_WRITE_CONCERN"),
    ],
    ids=["cut", "answers lost", "disk full", "disk full for one", "not allowed", "no majority"],
)
@pytest.mark.parametrize("command", ["insert", "update"])
def test_writes_that_keep_failing(
    disturbance: Disturbance,
    cause: str,
    command: str,
    proxy: Proxy,
    store: MongoStore,
    impatient: MongoStore,
    reader: MongoStore,
) -> None:
    """A publish whose writes keep failing names the cause and shows nobody anything, and a retry completes it."""
    published(store, C, {}, OLD)
    proxy.rule = _writes_of_documents(command, disturbance)
    with pytest.raises(StoreError, match=cause) as caught:
        _publish(impatient)
    assert caught.value.hint
    assert f"127.0.0.1:{proxy.port}" in str(caught.value)
    assert dict(scan(reader, C)) == OLD
    proxy.rule = once("", None)
    _publish(store)
    _assert_undisturbed(reader)


def test_latency_of_seconds(proxy: Proxy, store: MongoStore, reader: MongoStore) -> None:
    """A slow network makes a publish slow, and nothing else."""
    published(store, C, {}, OLD)
    proxy.rule = once("update", Delay(3), about=C)
    _publish(store)
    _assert_undisturbed(reader)


def test_a_server_that_stops_answering(proxy: Proxy, store: MongoStore, database: str, reader: MongoStore) -> None:
    """A command without an answer ends at the limit, with what to look at; the retry completes."""
    published(store, C, {}, OLD)
    proxy.rule = always("update", Delay(2))
    with (
        MongoStore(f"{proxy.uri}/{database}?socketTimeoutMS=300", patience_seconds=1) as hasty,
        pytest.raises(StoreError, match="does not answer in time"),
    ):
        _publish(hasty)
    assert dict(scan(reader, C)) == OLD
    proxy.rule = once("", None)
    _publish(store)
    _assert_undisturbed(reader)


def test_a_server_that_is_down_at_the_start(proxy: Proxy, database: str) -> None:
    """A server that is not there is reported with its address and the settings to look at, soon."""
    proxy.close()
    with MongoStore(proxy.uri, database=database, timeout_seconds=0.3) as store:
        with pytest.raises(StoreError, match=f"127.0.0.1:{proxy.port} is out of reach.*MONGODB_URI") as caught:
            _publish(store)
        with pytest.raises(StoreError, match="is out of reach"):
            read(store, C, [1])
    assert "Topology" not in str(caught.value)


def test_a_server_that_comes_back_empty_while_a_publish_runs(proxy: Proxy, store: MongoStore, database: str) -> None:
    """The publish says that the store has lost its record, readers that nothing is available; a retry completes."""
    published(store, C, {}, OLD)

    def until_killed(control: Control) -> Iterator[DocumentChange]:
        every = changes(OLD, NEW)
        yield from every[:150]
        proxy.upstream = second.port
        proxy.cut_all()
        yield from every[150:]

    with own_server() as second:
        with pytest.raises(StoreError, match="lost its control record"):
            published_from(store, until_killed)
        reading = read(store, C, [150])
        assert not reading.available
        assert store.collections() == []
        published(store, C, {}, NEW, highest_known_generation=1)
        _assert_undisturbed(store)
        control = store.control(C)
        assert control
        assert control.active
        assert control.active > 2, "numbers go on behind those that the lost store had used"


def test_a_server_that_comes_back_empty_while_a_read_runs(proxy: Proxy, store: MongoStore) -> None:
    """A read that began before the loss and ends after it says that nothing is available, not that nobody exists."""
    published(store, C, {}, OLD)
    with own_server() as second:

        def lose(command: str, collection: str) -> Disturbance:
            if (command, collection) != ("find", C) or proxy.upstream == second.port:
                return None
            proxy.upstream = second.port
            return Cut()

        proxy.rule = lose
        reading = read(store, C, [1, 2])
        assert proxy.upstream == second.port
        assert not reading.available


def test_a_server_that_is_killed(database: str) -> None:
    """Reads and publishes on a killed server fail with its address, and never answer that nobody exists."""
    with (
        own_server() as doomed,
        MongoStore(doomed.uri, database=database) as store,
        MongoStore(doomed.uri, database=database, timeout_seconds=0.5) as hasty,
    ):
        published(store, C, {}, OLD)
        doomed.kill()
        for use in (lambda: read(hasty, C, [1]), lambda: _publish(hasty)):
            with pytest.raises(StoreError, match=f"127.0.0.1:{doomed.port}"):
                use()


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("mongodb://somebody:se%40cret@{}/", r"the login failed \(code 18: Authentication failed\).*authSource"),
        ("mongodb://somebody:se%40cret@{}/?tls=true", "does not agree on TLS.*tlsCAFile"),
        ("mongodb://somebody:se%40cret@{}/?replicaSet=rs0", "is out of reach"),
        ("mongodb://somebody:se%40cret@127.0.0.1:1/", "is out of reach"),
        ("mongodb://somebody:se@cret@{}/", "percent-encoded"),
        ("mongodb://somebody:se/@cret@{}/", "percent-encoded"),
        ("mongodb://somebody:se%40cret@{}/?tls=perhaps", "percent-encoded|MONGODB"),
        ("mongodb://somebody:se%40cret@{}/?w=0", "MONGODB_WRITE_CONCERN"),
        ("mongodb://", "percent-encoded"),
    ],
)
def test_an_unusable_uri(uri: str, cause: str, proxy: Proxy) -> None:
    """Whatever is wrong with the URI, the message names the setting, and the password is nowhere in the error."""
    proxy.rule = always("saslStart", Refuse({"ok": 0.0, "code": 18, "errmsg": "Authentication failed."}))
    place = uri.format(f"127.0.0.1:{proxy.port}")
    with (
        pytest.raises(ServingAssetsError, match=cause) as caught,
        MongoStore(place, database="unusable", timeout_seconds=0.5, patience_seconds=0.5) as store,
    ):
        published(store, C, {}, OLD)
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(word in f"{error} {error!r}" for word in ("cret", "se%40", "se@"))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def published_from(store: MongoStore, source: Any) -> None:
    """Publish NEW from a function of changes."""
    from serving_assets.store import publish

    publish(store, C, source, target(NEW), writer="w", batch_rows=100)


def _writes_of_documents(command: str, disturbance: Disturbance) -> Rule:
    def rule(name: str, collection: str) -> Disturbance:
        return disturbance if (name, collection) == (command, C) else None

    return rule
