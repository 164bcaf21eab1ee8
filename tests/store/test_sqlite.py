"""The SQLite store: the protocol, and the faults of a file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving_assets.errors import ConflictError, InputError, ServingAssetsError
from serving_assets.store import OnlineStore, SqliteStore, StoreError, open_store, read, scan
from tests.store.children import in_child, read_while_closed_and_replaced
from tests.store.conformance import StoreConformance
from tests.store.rules import ALL, ONE, TWO, C, StoreFactory
from tests.store.snapshots import Snapshot, published, seen, snapshot

pytestmark = pytest.mark.timeout(900)


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet, in a folder that does not either."""
    return tmp_path / "new folder" / "online.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store with little patience."""
    with SqliteStore(path, timeout_seconds=0.05) as store:
        yield store


# Where the file is


@pytest.mark.parametrize("absolute", [True, False])
def test_a_uri_names_a_file(absolute: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes lead to a relative path, four to an absolute one; the folder is made."""
    monkeypatch.chdir(path.parent.parent)
    with open_store(f"sqlite:///{path if absolute else path.relative_to(path.parent.parent)}") as store:
        published(store, C, {}, ONE)
    assert path.exists()


@pytest.mark.parametrize("uri", ["", "sqlite:", "sqlite:///", "sqlite://online.db", "mongo://host/db", "/online.db"])
def test_an_unknown_uri_says_which_are_known(uri: str) -> None:
    """A uri without a store behind it is refused with the forms that have one."""
    with pytest.raises(InputError, match="Use sqlite:///relative/path or sqlite:////absolute/path"):
        open_store(uri)


# What can be wrong with it


def _text_file(path: Path) -> None:
    path.write_text("entity,score\n" * 100)


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id)")
    connection.close()


def _newer_layout(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (_text_file, InputError, "is not a SQLite database"),
        (_other_database, InputError, "of something else: it has the table runs"),
        (_newer_layout, InputError, "has layout 99"),
        (Path.mkdir, StoreError, "cannot be opened for writing"),
    ],
)
def test_a_file_that_is_no_store(
    make: Callable[[Path], None], kind: type[ServingAssetsError], message: str, path: Path
) -> None:
    """A path to something else is reported with what is there and the fix, and nothing is overwritten."""
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(kind, match=message) as caught, SqliteStore(path) as store:
        store.control(C)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_folder_that_cannot_be_made(path: Path) -> None:
    """A file where the folder should be is reported, not left as an operating system's error."""
    path.parent.write_text("in the way")
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(path).control(C)


def test_a_lock_that_nobody_releases(store: SqliteStore, path: Path) -> None:
    """A write that waits too long for another process ends with an error that says so; reads go on."""
    published(store, C, {}, ONE)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConflictError, match=r"locked by another process for more than 0.05 seconds"):
        published(store, C, ONE, TWO)
    assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
    other.execute("ROLLBACK")
    other.close()
    published(store, C, ONE, TWO)


def test_a_full_disk(store: SqliteStore) -> None:
    """When the disk is full the publish fails with that reason, readers keep what they had, and a retry passes."""
    published(store, C, {}, ONE)
    many = snapshot(dict.fromkeys(range(50_000), 1))
    with store._file.reading() as connection:
        connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreError, match=r"disk of .* is full"):
        published(store, C, ONE, many)
    assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}
    with store._file.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    published(store, C, ONE, many)
    assert dict(scan(store, C)) == many


def test_a_file_that_may_not_be_written(store: SqliteStore) -> None:
    """A store that can only be read still answers, and says why it cannot be published to."""
    published(store, C, {}, ONE)
    with store._file.reading() as connection:
        connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        published(store, C, ONE, TWO)
    assert seen(store, C, ALL) == {1: 0.1, 2: 0.2, 3: 0.3}


def test_a_damaged_file(path: Path) -> None:
    """Overwritten pages are reported as damage, with the way to get everything back."""
    with SqliteStore(path) as store:
        published(store, C, {}, snapshot(dict.fromkeys(range(5_000), 1)))
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match="publish again: everything in it comes from the lake"),
        SqliteStore(path) as store,
    ):
        dict(scan(store, C))


def test_a_control_record_of_another_version(store: SqliteStore) -> None:
    """A control record that cannot be understood is reported with its collection."""
    published(store, C, {}, ONE)
    with store._file.writing() as connection:
        connection.execute('UPDATE controls SET body = \'{"from": "the future"}\', revision = 99')
    with pytest.raises(StoreError, match=f"{C}: the control record"):
        read(store, C, [1])


def test_another_file_in_its_place_is_opened_at_once(store: SqliteStore, path: Path) -> None:
    """What an open connection would still read of a file that was moved away is never answered."""
    published(store, C, {}, ONE)
    with SqliteStore(path.with_name("other.db")) as other:
        published(other, C, {}, TWO)
    path.rename(path.with_name("moved.db"))
    for part in path.parent.glob(f"{path.name}-*"):
        part.unlink()
    assert store.control(C) is None
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    path.with_name("other.db").rename(path)
    assert dict(scan(store, C)) == TWO
    assert len(store._file._open) == 1


# Who shares it


def test_threads_that_end_leave_no_connection(store: SqliteStore) -> None:
    """However many threads came and went, only those alive hold a connection."""
    published(store, C, {}, ONE)
    for _ in range(20):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(seen, store, C, [1]).result() == {1: 0.1}
    assert len(store._file._open) <= 2
    assert seen(store, C, [1]) == {1: 0.1}


def test_a_first_use_by_many_at_once(path: Path) -> None:
    """Stores that create the same file at the same time all succeed."""
    stores = [SqliteStore(path) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda store: store.control(C), stores)) == [None] * 16
    for store in stores:
        store.close()


# What people do with the file while it is open


def _other_file(values: Snapshot, folder: Path) -> Path:
    """A store of two generations in one file, as a copy that was put aside would be."""
    made = folder / "made.db"
    with SqliteStore(made) as other:
        published(other, C, {}, ONE)
        published(other, C, ONE, values)
    assert not made.with_name("made.db-wal").exists()
    return made


def test_reading_creates_no_file(path: Path, store: SqliteStore) -> None:
    """A store that does not exist reads as empty, and nothing appears where a person may put a file."""
    assert store.control(C) is None
    assert store.collections() == []
    assert read(store, C, ["a"]).values == [None]
    assert not path.parent.exists()


def test_a_replaced_file_is_read_at_once(path: Path, store: SqliteStore, tmp_path: Path) -> None:
    """Another file under the same path is read at the next use, even with the same revision and a log left behind."""
    published(store, C, {}, ONE)
    published(store, C, ONE, TWO)
    assert dict(scan(store, C)) == TWO
    other = {"other": '{"v":{"score":0.125}}'}
    made = _other_file(other, tmp_path)
    revision = store.control(C).revision  # type: ignore[union-attr]
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    made.replace(path)
    control = store.control(C)
    assert control is not None
    assert control.revision == revision
    assert dict(scan(store, C)) == other
    published(store, C, other, ONE)
    with SqliteStore(path) as again:
        assert dict(scan(again, C)) == ONE
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_moved_file_reads_as_empty_and_keeps_its_content(path: Path, store: SqliteStore) -> None:
    """A file that was moved away is not read on, is not created anew by reading, and is whole when it comes back."""
    published(store, C, {}, ONE)
    away = path.with_name("away.db")
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        file.rename(away.with_name(file.name.replace(path.name, away.name)))
    assert store.control(C) is None
    assert not path.exists()
    with SqliteStore(away) as moved:
        assert dict(scan(moved, C)) == ONE
    away.rename(path)
    assert dict(scan(store, C)) == ONE


def test_every_thread_leaves_a_replaced_file(path: Path, store: SqliteStore, tmp_path: Path) -> None:
    """Threads that read the old file before read the new one after, whichever of them looks first."""
    published(store, C, {}, ONE)
    published(store, C, ONE, TWO)
    other = {"other": '{"v":{"score":0.125}}'}
    with ThreadPoolExecutor(4) as pool:
        assert all(found == TWO for found in pool.map(lambda _: dict(scan(store, C)), range(16)))
        _other_file(other, tmp_path).replace(path)
        assert all(found == other for found in pool.map(lambda _: dict(scan(store, C)), range(16)))
    opened = [_target(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    assert [file for file in opened if file.startswith(str(path)) and file.endswith("(deleted)")] == []


def test_closing_waits_for_what_other_threads_read(path: Path) -> None:
    """Threads that read while a store is closed or its file replaced get whole answers, and the process lives."""
    path.parent.mkdir()
    child = in_child(read_while_closed_and_replaced, path)
    child.join(120)
    assert child.exitcode == 0


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""
