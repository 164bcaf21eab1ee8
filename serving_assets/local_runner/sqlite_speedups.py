"""Make Dagster's bookkeeping on one machine cheap while a command runs many partitions in its own process.

Here: when SQLite waits for the disk, how long connections live, how a run's database is made, and where the output of
steps goes. Not here: what is written, or an instance that keeps its events in PostgreSQL.

Measured on 2 cores: a materialization event took 66 ms, nearly all of it waiting for the disk, because Dagster opens
and closes a connection for each of its statements: every commit synchronised, and every close of the last connection
emptied the write-ahead log. A year of four daily tables is 2,900 events. It also makes an SQLAlchemy engine for each
statement, which compiles the statement anew, and asks Alembic about the database of each run, which it has just made.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._utils import touch_file
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import QueuePool

KEPT_DATABASES = 8
"""Each run has a database of its own, and all share the index and the run storage."""


class _Kept(QueuePool):
    """Connections that outlive `Engine.dispose`, which Dagster calls after each statement."""

    def dispose(self) -> None:
        """Keep them."""

    def recreate(self) -> _Kept:
        """Keep them."""
        return self

    def close(self) -> None:
        """Let go of them."""
        super().dispose()


class _Databases:
    """The engines of the databases in use, and an empty database of a run."""

    def __init__(self) -> None:
        self.in_use = False
        self._engines: dict[str, Engine] = {}
        self._empty_run = b""

    def engine(self, address: str, **asked: Any) -> Engine:
        """The engine that there is already for this database, or a new one; the longest unused is let go."""
        found = self._engines.pop(address, None)
        if found is None:
            found = create_engine(address, poolclass=_Kept, connect_args=asked.get("connect_args", {}))
            event.listen(found, "connect", _relax)
        self._engines[address] = found
        if len(self._engines) > KEPT_DATABASES:
            _close(self._engines.pop(next(iter(self._engines))))
        return found

    def make(self, storage: SqliteEventLogStorage, engine: Engine, for_index_shard: bool = False) -> None:
        """Make the database of a run: the first one as Dagster does, each other as a copy of it when it was empty."""
        file = Path(engine.url.database or "")
        new = not file.exists() and not for_index_shard
        if new and self._empty_run and _created(file, self._empty_run):
            return
        _as_dagster_does(storage, engine, for_index_shard)
        if new:
            with closing(sqlite3.connect(file)) as connection:
                self._empty_run = connection.serialize()

    def close(self) -> None:
        """Let go of all connections; with the last one to a database SQLite empties its write-ahead log."""
        while self._engines:
            _close(self._engines.popitem()[1])


_as_dagster_does = SqliteEventLogStorage._initdb
_DATABASES = _Databases()


@contextmanager
def unhurried_sqlite() -> Iterator[None]:
    """Within the block, SQLite commits without waiting for the disk, and connections are kept; blocks may be nested.

    `synchronous = NORMAL` with a write-ahead log survives a killed process whole; after a power cut the newest
    events can be missing, and the database is sound (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """
    if _DATABASES.in_use:
        yield
        return
    with ExitStack() as held:
        held.callback(setattr, _DATABASES, "in_use", False)
        _DATABASES.in_use = True
        held.callback(_DATABASES.close)
        for owner, name, other in (
            (sqlite_event_log, "create_engine", _DATABASES.engine),
            (sqlite_run_storage, "create_engine", _DATABASES.engine),
            (SqliteEventLogStorage, "_initdb", _make),
        ):
            held.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, other)
        yield


@contextmanager
def uncaptured_output() -> Iterator[None]:
    """Within the block, what steps print goes to the command's own screen, as what the command prints does.

    Dagster would write it to a file as well, and start four processes a run that copy the file to the screen.
    """
    captured = LocalComputeLogManager.capture_logs
    setattr(LocalComputeLogManager, "capture_logs", _not_captured)  # noqa: B010  # mypy: no method to assign to
    try:
        yield
    finally:
        setattr(LocalComputeLogManager, "capture_logs", captured)  # noqa: B010


@contextmanager
def _not_captured(manager: LocalComputeLogManager, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
    yield CapturedLogContext(log_key)
    touch_file(manager.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]


def _make(storage: SqliteEventLogStorage, engine: Engine, for_index_shard: bool = False) -> None:
    _DATABASES.make(storage, engine, for_index_shard)


def _relax(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def _close(engine: Engine) -> None:
    if isinstance(engine.pool, _Kept):
        engine.pool.close()


def _created(file: Path, content: bytes) -> bool:
    """Make a file, whole at once; not where another process has been faster or links are unknown."""
    handle, partial = tempfile.mkstemp(dir=file.parent, prefix=file.stem)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
    try:
        os.link(partial, file)
    except OSError:
        return False
    finally:
        Path(partial).unlink()
    return True
