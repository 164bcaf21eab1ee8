"""The file that alerts are kept in: SQLite, because it survives a kill between any two instructions.

Here: opening it, transactions, the lock that one look holds, and what each fault of the file is called. Not here: what
the tables mean (incident_store.py, outbox.py).
"""

from __future__ import annotations

import fcntl
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from serving_assets.alerts.records import AlertsError

LAYOUT = 1
SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE incidents (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, open INTEGER NOT NULL, "
    "resolved REAL, body TEXT NOT NULL)",
    "CREATE UNIQUE INDEX one_open ON incidents (key) WHERE open = 1",
    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, incident INTEGER NOT NULL, channel TEXT NOT NULL, "
    "kind TEXT NOT NULL, key TEXT NOT NULL, notice TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', "
    "attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, tried REAL, error TEXT NOT NULL DEFAULT '', "
    "UNIQUE (key, channel))",
    "CREATE INDEX pending ON deliveries (incident, channel, id) WHERE state = 'pending'",
    "CREATE TABLE silences (number INTEGER PRIMARY KEY AUTOINCREMENT, pattern TEXT NOT NULL, author TEXT NOT NULL, "
    "reason TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL)",
)


class AlertsFile:
    """The file at `path`, created when first used.

    Every method raises AlertsError when the file is locked for longer than `timeout_seconds`, cannot be written, or is
    no state of alerts.
    """

    def __init__(self, path: Path, timeout_seconds: float = 10) -> None:
        self.path, self._timeout_seconds = path, timeout_seconds

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection outside a transaction."""
        with self._explained(), closing(self._connect()) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is on the disk when the block ends, and was never there after an error."""
        with self._explained(), closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this is the only process in the block; the system lets go of the lock when the process dies."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=self._timeout_seconds, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
                self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO facts VALUES ('workspace', ?)", [uuid.uuid4().hex[:12]])
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")
        if layout > LAYOUT:
            raise AlertsError(
                f"{self.path} has layout {layout}, this version of the project knows {LAYOUT}.",
                hint="Upgrade the project, or move the file away: open incidents will then be reported again.",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AlertsError(
                f"{self.path}, which holds the state of alerts: {error}.",
                hint="If it is locked, try again; if the disk is full or read-only, fix that; if it is damaged, move "
                "it away: open incidents will then be reported again.",
            ) from error
