"""A SQLite file that many processes and threads share.

Here: opening, one connection per thread and process, transactions, and what each fault of the file is called. Not
here: any table, and how a connection is closed while others use theirs (sqlite_connection.py).

People repair a store by moving the file away or by putting another in its place. So each use looks whether the path
still leads to the file that is open, and a use that only reads never creates a file where another program is about to
put one.

Write-ahead logging lets any number of processes read while one writes, and readers never wait. Transactions are
written with `synchronous=NORMAL`; a durable one with `FULL`, whose sync of the log makes all before it durable too.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from serving_assets.errors import ConflictError, InputError, ServingAssetsError
from serving_assets.store.records import StoreError
from serving_assets.store.sqlite_connection import Connection, HeldConnection

LAYOUT = 1


Identity = tuple[int, int]
COMPANIONS = ("-wal", "-shm")
SET_ASIDE = ".replaced"


# What was opened before a fork must be neither used nor closed by the child, so the child keeps it here for good.
_of_parents: list[HeldConnection] = []


class SqliteFile:
    """The file at `path`, created with `schema` when first written; until then it reads as empty.

    When the path leads to another file than the one that is open, all connections are closed, each when its use has
    ended, and the new file is opened.

    Every method raises StoreError (unreachable, full, damaged), ConflictError (locked for longer than
    `timeout_seconds`) or InputError (not a database, or of a newer layout).
    """

    def __init__(self, path: Path, schema: tuple[str, ...], timeout_seconds: float) -> None:
        self.path = path
        self._opened: Identity | None = None  # of what is open, in whichever thread
        self._companions: tuple[Identity | None, dict[Path, Identity | None]] = (None, {})
        self._schema = schema
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()
        self._open: list[HeldConnection] = []
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """This thread's connection, outside a transaction: each statement sees one state of the file."""
        with self._explained():
            if (current := self._current()) is not None:
                with self._used(current, create=False) as connection:
                    yield connection
                return
            with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Connection)) as empty:
                self._create_tables(empty)
                yield empty

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[Connection]:
        """This thread's connection in a transaction that is committed at the end, or rolled back by an error."""
        with self._explained(), self._used(self._current(), create=True) as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connections of all threads of this process, each when its use has ended; a later use opens one."""
        with self._lock:
            self._close_all_but(())
            self._opened = None

    def _current(self) -> os.stat_result | None:
        """The file that the path leads to, None for none; what is open of another one is closed."""
        current = status(self.path)
        if self._opened is not None and self._opened != identity(current):
            self.close()
        return current

    @contextmanager
    def _used(self, current: os.stat_result | None, *, create: bool) -> Iterator[Connection]:
        held: HeldConnection | None = getattr(self._local, "held", None)
        while held is None or held.process != os.getpid() or not held.begin():
            held = self._hold(create)
        try:
            if current is not None and self._local.modified != current.st_mtime_ns:
                # Pages in memory would hide damage in place. A checkpoint, the other reason for a new time, is rare.
                held.connection.execute("PRAGMA shrink_memory")
                self._local.modified = current.st_mtime_ns
            yield held.connection
        finally:
            held.end()

    def _hold(self, create: bool) -> HeldConnection:
        """A connection of this thread to the file that the path leads to now."""
        while True:
            before = identity(status(self.path))
            held = HeldConnection(self._connect(create))
            opened = identity(status(self.path))
            if before in (None, opened):
                break
            held.close_when_idle()  # the file was replaced meanwhile, and this may be either
        with self._lock:
            # Servers let idle threads go and start others: without this each would leave an open file behind.
            self._close_all_but([one for one in self._open if one.thread.is_alive()])
            self._open.append(held)
            self._opened = opened
            self._companions = opened, {path: identity(status(path)) for path in self._companion_paths()}
        self._local.held, self._local.modified = held, None
        return held

    def _close_all_but(self, living: Sequence[HeldConnection]) -> None:
        _of_parents.extend(one for one in self._open if one.process != os.getpid())
        mine = [one for one in self._open if one.process == os.getpid()]
        for one in mine:
            if one not in living:
                one.close_when_idle()
        self._open = [one for one in mine if one in living]

    def _connect(self, create: bool) -> Connection:
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._set_aside_companions()
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=self._timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout > LAYOUT:
                raise InputError(
                    f"{self.path} has layout {layout} of the online store, this version of the project knows {LAYOUT}.",
                    hint="Upgrade the project, or point the store's uri elsewhere.",
                )
            if layout < LAYOUT:
                self._create(connection)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        if tables and connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            raise InputError(
                f"{self.path} is a SQLite database of something else: it has the table {tables[0][0]}.",
                hint="Point the store's uri at a file of its own.",
            )
        self._to_wal(connection)
        self._create_tables(connection)

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")

    def _companion_paths(self) -> list[Path]:
        return [self.path.with_name(self.path.name + suffix) for suffix in COMPANIONS]

    def _set_aside_companions(self) -> None:
        """Rename the log and the index of a file that was open here and that the path no longer leads to.

        A replacement of the file alone leaves them behind, and SQLite would apply the pages of the old log to the new
        file: nothing in a log names the file that it belongs to.
        """
        with self._lock:
            of, companions = self._companions
            if of is None or of == identity(status(self.path)):
                return
            self._companions = None, {}
            for path, known in companions.items():
                if known is not None and identity(status(path)) == known:
                    path.rename(path.with_name(path.name + SET_ASIDE))

    def _to_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait for other processes when it changes the journal mode, so two first users would collide.
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error | OSError) -> ServingAssetsError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return ConflictError(
                f"{self.path} was locked by another process for more than {self._timeout_seconds:g} seconds.",
                hint="Find the process that holds it (`fuser` names it), or try again.",
            )
        if code == sqlite3.SQLITE_NOTADB:
            return InputError(
                f"{self.path} is not a SQLite database.",
                hint="Point the store's uri at another file, or move this one away.",
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreError(
                f"The disk of {self.path} is full.",
                hint="Free space; nothing visible has changed, so simply run again.",
            )
        if code == sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"{self.path} is damaged: {error}.",
                hint="Move it away with its -wal and -shm, and publish again: everything in it comes from the lake.",
            )
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM) or isinstance(
            error, OSError
        ):
            return StoreError(
                f"{self.path} cannot be opened for writing: {error}.",
                hint="Check that the folder exists and this user may write to it.",
            )
        return StoreError(
            f"{self.path}: {error}.", hint="See SQLite's documentation of this error, and the state of the disk."
        )


def status(path: Path) -> os.stat_result | None:
    """What the file system knows of the file at `path`; None when there is none."""
    try:
        return os.stat(path)  # noqa: PTH116  asked with every use, and a third of the cost of Path.stat
    except FileNotFoundError:
        return None


def identity(found: os.stat_result | None) -> Identity | None:
    """What tells a file from any that was at its path before or comes after."""
    return (found.st_dev, found.st_ino) if found else None
