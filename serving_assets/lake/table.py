"""The lake, its tables, and what can be done with one: scan it at a version, replace it or some partitions.

Here: the interface that engines and pipelines use, with `scan`. Not here: how files are written (`writer`) and
committed (`commit`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from serving_assets.errors import ConflictError, InputError
from serving_assets.failpoints import failpoint
from serving_assets.lake import arrow, log, selection
from serving_assets.lake.commit import TableChange, commit, may_be_committed
from serving_assets.lake.log import TableState
from serving_assets.lake.scan import Scan
from serving_assets.lake.selection import Where
from serving_assets.lake.storage import Storage, StoredFile
from serving_assets.lake.writer import PartitionedWriter

NO_TABLE = -1
"""As `expected_version`: the table must not exist yet."""

KEPT_STATES = 4
"""Versions of a table whose state is kept; a comparison needs two."""

_NAME = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Written:
    """What one write did: rows, files and bytes are those it added."""

    version: int
    rows: int
    bytes: int
    files: int
    seconds: float


class Lake:
    """All tables below one address: a folder, or a URI like `s3://bucket/lake` with its storage options."""

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        path = unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri
        address = path if "://" in path else str(Path(path).expanduser().absolute())
        self._storage = Storage(address, dict(storage_options or {}))
        self._tables: dict[str, LakeTable] = {}

    @property
    def uri(self) -> str:
        """The lake's address; a local one is absolute."""
        return self._storage.uri

    def table(self, name: str) -> LakeTable:
        """The table `<layer>/<table>`, whether it exists yet or not.

        Raises:
            InputError: when the name is not of that form.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name!r} is not a table name.",
                hint="Name it <layer>/<table>, both of lower-case letters, digits and underscores.",
            )
        return self._tables.setdefault(name, LakeTable(name, self._storage.child(name)))

    def tables(self) -> list[str]:
        """The names of the tables that exist, sorted."""
        folders = self._storage.folders
        found = (f"{layer}/{table}" for layer in folders() for table in folders(layer))
        return [name for name in found if _NAME.fullmatch(name) and "_delta_log" in folders(name)]


@dataclass(frozen=True)
class LakeTable:
    """One table. Every call sees what is committed by then.

    Reading a log of half a year takes 10 ms, looking whether it has grown a hundredth of that, and nearly every step of
    a run asks for the state of several tables. So the states that were read are kept, each with the file of its commit:
    while that is the same file, the state is what it was, and while the next version's is missing, it is the newest.
    """

    name: str
    storage: Storage = field(repr=False)
    _states: dict[int, tuple[StoredFile, TableState]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def uri(self) -> str:
        """Where other Delta readers find it."""
        return self.storage.uri

    def exists(self) -> bool:
        """Whether anything was ever committed to it."""
        return self._latest() is not None

    def version(self) -> int | None:
        """The newest version; None while the table does not exist."""
        latest = self._latest()
        return None if latest is None else latest.version

    def schema(self, version: int | None = None) -> pa.Schema | None:
        """The columns, partition columns included; None while the table does not exist."""
        state = self._latest() if version is None else self.at(version)
        return None if state is None else state.schema

    def at(self, version: int | None = None) -> TableState:
        """The table's state at a version, the newest by default.

        Raises:
            InputError: when the table, or this version of it, does not exist.
        """
        state = self._latest() if version is None else self._known(version) or self._read(version)
        if state is None:
            raise InputError(
                f"The table {self.name} does not exist at {self.uri}.",
                hint=f"Materialize the asset that writes {self.name} first.",
            )
        return state

    def scan(self, where: Where | None = None, *, version: int | None = None) -> Scan:
        """Describe a read of the partitions that `where` selects, of all without it; the version is fixed from here on.

        Raises:
            InputError: when the table or version is missing, or `where` names what is no partition column.
        """
        return Scan(self.name, self.storage, self.at(version), dict(where or {}))

    def partitions(self, column: str = "day", where: Where | None = None, *, version: int | None = None) -> list[Any]:
        """The values of a partition column under which there are rows, sorted; none while the table does not exist.

        Known from the log alone: no data is read.
        """
        if version is None and self._latest() is None:
            return []
        scan = self.scan(where, version=version)
        if column not in scan.state.partition_columns:
            raise InputError(
                f"{self.name} is not partitioned by {column!r}.",
                hint=f"Its partition columns are: {', '.join(scan.state.partition_columns) or 'none'}.",
            )
        values = {file.partition[column] for file in scan.files(check=False) if file.rows}
        return sorted(value for value in values if value is not None)

    def replace(
        self,
        batches: pa.RecordBatchReader,
        *,
        where: Where | None = None,
        partition_by: tuple[str, ...] = (),
        metadata: Mapping[str, str] | None = None,
        expected_version: int | None = None,
        description: str | None = None,
    ) -> Written:
        """Put these rows in place of the partitions that `where` selects, of the whole table without it.

        All or nothing: other readers see the old rows until the commit and the new ones after it. The table is created
        when missing. Columns new to the table are added to it (null in older rows). Where partitions are replaced,
        columns that `batches` lacks become null in the new rows, and types must stay; a table that is replaced as a
        whole has the columns and types of `batches`. Memory is bounded by the batches and the settings of `writer`.

        Args:
            batches: the new rows, streamed; none at all leaves the partitions empty.
            where: values or day ranges of partition columns.
            partition_by: the partition columns, needed where the table is created.
            metadata: facts about this version, see `commit_metadata`.
            expected_version: refuse the write when any commit came after this one; `NO_TABLE`: when the table exists.
            description: what the table holds; used where it is created.

        Raises:
            InputError: for a row outside of `where`, a changed type, or a wrong partition column; nothing is written.
            ConflictError: when another writer changed the same partitions meanwhile; nothing is written.
            Exception: whatever the disk or `batches` raise; the files are removed unless they may be committed.
        """
        failpoint("lake.write.before")
        started = time.perf_counter()
        base, where = self._latest(), dict(where or {})
        self._expect(base, expected_version)
        existing = base.schema if base else None
        incoming = arrow.normalised(batches.schema, table=self.name, existing=existing, whole=not where)
        schema = arrow.merged(existing, incoming) if where else incoming
        by = self._partition_columns(base, incoming, partition_by)
        selection.validate(where, table=self.name, schema=schema, partition_columns=by)
        with PartitionedWriter(self.storage, table=self.name, schema=incoming, partition_by=by, where=where) as writer:
            for batch in batches:
                failpoint("lake.write.mid_stream")
                writer.write(arrow.cast(batch, incoming, table=self.name))
            writer.finish()
        change = TableChange(
            name=self.name,
            base=base,
            schema=schema,
            partition_by=by,
            where=where,
            adds=writer.adds,
            metadata=metadata or {},
            description=description,
            pinned=expected_version is not None,
        )
        try:
            version = commit(self.storage, change)
        except BaseException as error:
            if isinstance(error, ConflictError) or not may_be_committed(self.storage, change):
                writer.discard()
            raise
        failpoint("lake.write.after_commit")
        size = sum(add.size for add in writer.adds)
        return Written(version, writer.rows, size, len(writer.adds), time.perf_counter() - started)

    def commit_metadata(self, version: int | None = None) -> dict[str, str]:
        """What `replace` was given as metadata for this version, the newest by default."""
        return log.metadata_of(log.commit_info(self.storage, self.at(version).version))

    def added_between(self, old_version: int, new_version: int | None = None) -> Scan | None:
        """Only the files that the new version has and the old one has not.

        None when this cannot say what changed: rows of the old version are gone, or the old version is.
        """
        new = self.at(new_version)
        try:
            old = self.at(old_version).paths()
        except InputError:
            return None
        return Scan(self.name, self.storage, new, {}, only=new.paths() - old) if old <= new.paths() else None

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The commits that the log still has, newest first: version, timestamp (UTC), operation, metadata."""
        versions = log.versions(self.storage)[::-1][:limit]
        commits = ((version, log.commit_info(self.storage, version)) for version in versions)
        return [
            {
                "version": version,
                "timestamp": log.committed_at(info),
                "operation": info.get("operation"),
                "metadata": log.metadata_of(info),
            }
            for version, info in commits
        ]

    def _latest(self) -> TableState | None:
        newest = max(tuple(self._states), default=None)
        # The next commit first: a log is cut off from its oldest commit on, so where it is gone, this one is, too.
        if newest is None or self.storage.find([log.commit_path(newest + 1)]) != [None]:
            return self._read(None)
        return self._known(newest) or self._read(None)

    def _known(self, version: int) -> TableState | None:
        """The state kept of this version, as long as the file of its commit is the same."""
        kept = self._states.get(version)
        return kept[1] if kept and self.storage.find([log.commit_path(version)]) == [kept[0]] else None

    def _read(self, version: int | None) -> TableState | None:
        opened = log.open_table(self.storage, version)
        if opened is None:
            return None
        state = log.snapshot(self.storage, opened)
        (commit,) = self.storage.find([log.commit_path(state.version)])
        self._states.pop(state.version, None)
        if commit is not None:
            self._states[state.version] = commit, state
        for read_first in tuple(self._states)[:-KEPT_STATES]:
            self._states.pop(read_first, None)
        return state

    def _expect(self, base: TableState | None, expected_version: int | None) -> None:
        found = NO_TABLE if base is None else base.version
        if expected_version is not None and expected_version != found:
            raise ConflictError(
                f"{self.name} was expected at version {expected_version} and is at {found} ({NO_TABLE}: no table).",
                hint="Run it again; it then starts from what the other writer left.",
            )

    def _partition_columns(
        self, base: TableState | None, incoming: pa.Schema, asked: tuple[str, ...]
    ) -> tuple[str, ...]:
        by = asked if base is None else base.partition_columns
        if asked and asked != by:
            raise InputError(
                f"{self.name} is partitioned by {by or 'nothing'}, not by {asked}.",
                hint="Keep its partitioning, or write a table of another name.",
            )
        for column in by:
            if column not in incoming.names:
                raise InputError(
                    f"{self.name} is partitioned by {column!r}, which the new rows lack.",
                    hint="Add the column in the SQL that makes them.",
                )
            selection.check_partition_type(self.name, incoming.field(column))
        if by and len(by) == len(incoming):
            raise InputError(f"{self.name} would have only partition columns.", hint="Add a column with data.")
        return by
