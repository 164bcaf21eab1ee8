"""The instance of a command: Dagster's own SQLite files, kept open, and the output of steps left on the screen.

Here: storage classes that Dagster loads by their configuration, and opening an instance with them. Not here: what is
written, which stays Dagster's, or an instance that keeps its events in PostgreSQL, which is opened as configured.

Measured on 2 cores: a materialization event took 66 ms, nearly all of it waiting for the disk, because Dagster opens
and closes a connection for each of its statements: every commit synchronised, and every close of the last connection
emptied the write-ahead log. A year of four daily tables is 2,900 events. It also makes an SQLAlchemy engine for each
statement, which compiles the statement again, and asks Alembic about the database of each run, which it has just made.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

KEPT_DATABASES = 4
"""Each run has a database of its own; an index of all is asked with every event."""
BUSY_SECONDS = 30
"""How long a statement waits for a writer of another process, such as the UI's."""
INDEX = "index"


def open_instance(home: Path, overrides: Mapping[str, Any] | None = None) -> dg.DagsterInstance:
    """Open the instance in `home` as a command uses it: the same files, SQLite kept open, output on the screen.

    `synchronous = NORMAL` with a write-ahead log survives a killed process whole; after a power cut the newest events
    can be missing, and the database is sound (https://www.sqlite.org/pragma.html#pragma_synchronous). What is
    configured otherwise in `dagster.yaml` (PostgreSQL, logs in an object store) stays as configured.
    """
    ref = InstanceRef.from_dir(str(home), overrides=dict(overrides or {}))
    return dg.DagsterInstance.from_ref(
        ref._replace(
            storage_data=_replaced(ref.storage_data, "DagsterSqliteStorage", KeptSqliteStorage),
            compute_logs_data=_replaced(ref.compute_logs_data, "LocalComputeLogManager", ScreenOutput),
        )
    )


def _replaced(configured: ConfigurableClassData | None, default: str, ours: type) -> Any:
    """The same configuration for our class, where Dagster's default class is configured."""
    if configured is None or configured.class_name != default:
        return configured
    return ConfigurableClassData(ours.__module__, ours.__name__, configured.config_yaml)


class _Databases:
    """The engines of the databases in use; the one that was not used for longest is closed when they are too many."""

    def __init__(self) -> None:
        self._open: dict[str, Engine] = {}
        self.close = weakref.finalize(self, _close_all, self._open)
        """Close all connections, also at the end of the process: with the last one SQLite empties its log."""

    @contextmanager
    def transaction(self, address: str) -> Iterator[Connection]:
        """Begin a transaction on the database at `address`."""
        found = self._open.pop(address, None)
        if found is None:
            found = create_engine(address, poolclass=QueuePool, connect_args={"timeout": BUSY_SECONDS})
            event.listen(found, "connect", _relax)
        self._open[address] = found
        if len(self._open) > KEPT_DATABASES:
            self._open.pop(next(iter(self._open))).dispose()
        with found.begin() as connection:
            yield connection


class KeptEventLog(SqliteEventLogStorage):
    """Dagster's event log in SQLite, its connections kept, and the database of a new run copied from an empty one."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._databases, self._alone = _Databases(), threading.Lock()
        self._prepared: set[str] = set()
        self._empty_run = b""
        super().__init__(base_dir, inst_data)

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        """Connect to the database of a run."""
        shard = str(run_id)
        with self._alone:
            if shard not in self._prepared:
                self._prepare(shard)
                self._prepared.add(shard)
            with self._databases.transaction(self.conn_string_for_shard(shard)) as connection:
                yield connection

    def index_connection(self) -> Any:
        """Connect to the index of all runs."""
        return self.run_connection(INDEX)

    def dispose(self) -> None:
        """Close everything."""
        super().dispose()
        self._databases.close()

    def _prepare(self, shard: str) -> None:
        """Make or check a database: the first one of a run as Dagster does, each other as a copy of that when empty."""
        file = Path(self.path_for_shard(shard))
        new = shard != INDEX and not file.exists()
        if new and self._empty_run and _created(file, self._empty_run):
            return
        with super().run_connection(shard):
            pass
        if new:
            with closing(sqlite3.connect(file)) as connection:
                self._empty_run = connection.serialize()


class KeptRuns(SqliteRunStorage):
    """Dagster's runs in SQLite, its connections kept."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._address, self._databases = conn_string, _Databases()
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Connect to the database of all runs."""
        with self._databases.transaction(self._address) as connection:
            yield connection

    def dispose(self) -> None:
        """Close everything."""
        self._databases.close()


class KeptSqliteStorage(DagsterStorage[Any], ConfigurableClass):
    """The storages of an instance in the files where Dagster's own `DagsterSqliteStorage` has them."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        base, self._inst_data = Path(base_dir), inst_data
        self._runs = KeptRuns.from_local(str(base / "history"))
        self._events = KeptEventLog(str(base / "history" / "runs"))
        self._schedules = SqliteScheduleStorage.from_local(str(base / "schedules"))
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration that it was loaded from."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the same schema as Dagster's own."""
        return {"base_dir": dg.StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteStorage:
        """Open the storages under `base_dir`."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: Any) -> None:
        """Make the instance known to each storage."""
        super().register_instance(instance)
        for storage in (self._runs, self._events, self._schedules):
            storage.register_instance(instance)

    @property
    def event_log_storage(self) -> KeptEventLog:
        """The event log."""
        return self._events

    @property
    def run_storage(self) -> KeptRuns:
        """The runs."""
        return self._runs

    @property
    def schedule_storage(self) -> SqliteScheduleStorage:
        """The schedules and sensors."""
        return self._schedules

    def dispose(self) -> None:
        """Close everything."""
        for storage in (self._runs, self._events, self._schedules):
            storage.dispose()


class ScreenOutput(LocalComputeLogManager):
    """What steps print goes to the command's own screen, as what the command prints does.

    Dagster's own writes it to a file as well, and starts four processes a run that copy the file to the screen.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ScreenOutput:
        """Keep the files under `base_dir`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture nothing, and leave the mark by which the UI knows that no output follows."""
        yield CapturedLogContext(log_key)
        mark = Path(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _relax(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def _close_all(engines: dict[str, Engine]) -> None:
    while engines:
        engines.popitem()[1].dispose()


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
