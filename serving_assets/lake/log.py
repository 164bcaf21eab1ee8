"""What a table's log says: its state at a version, and what each commit says about itself.

Here: reading the log. Not here: adding to it (`commit`), or reading data files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from serving_assets.errors import InputError
from serving_assets.lake.selection import PartitionValue, Where, matches
from serving_assets.lake.storage import Storage

_UNREADABLE = frozenset({"deletionVectors", "columnMapping", "v2Checkpoint"})


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table; partition columns are not in it, their values are in `partition`."""

    uri: str
    partition: dict[str, PartitionValue | None]
    rows: int
    bytes: int
    path: str = field(repr=False)
    """Where it lies inside the table's folder; unique over the table's whole life."""


@dataclass(frozen=True)
class TableState:
    """A table at one version. Nothing in it changes any more."""

    version: int
    schema: pa.Schema
    partition_columns: tuple[str, ...]
    files: tuple[DataFile, ...]
    has_local_timestamps: bool

    def select(self, where: Where) -> tuple[DataFile, ...]:
        """The files of the partitions that `where` selects."""
        return tuple(file for file in self.files if matches(where, file.partition))

    def paths(self, where: Where | None = None) -> frozenset[str]:
        """The same files by their path inside the table; all of them without `where`."""
        return frozenset(file.path for file in self.select(where or {}))


def open_table(storage: Storage, version: int | None = None) -> DeltaTable | None:
    """The table as deltalake sees it, or None when there is none at all.

    Raises:
        InputError: when there is a table but not this version of it.
    """
    try:
        return DeltaTable(storage.uri, version=version, storage_options=dict(storage.options) or None)
    except DeltaError as error:
        if version is None or not DeltaTable.is_deltatable(storage.uri, dict(storage.options) or None):
            if isinstance(error, TableNotFoundError):
                return None
            raise
        raise InputError(
            f"Version {version} of {storage.uri} cannot be read: old versions go with retention, and all of them go "
            f"when a person is erased ({error}).",
            hint="Take a version that `history()` lists.",
        ) from error


def snapshot(storage: Storage, table: DeltaTable) -> TableState:
    """The state of an opened table.

    Raises:
        InputError: when the table uses a Delta feature with which a list of files no longer says which rows exist.
    """
    features = set(table.protocol().reader_features or ())
    if unreadable := sorted(features & _UNREADABLE):
        raise InputError(
            f"{storage.uri} uses the Delta features {', '.join(unreadable)}, which are not supported here.",
            hint="Write it without them (in Spark: set delta.enableDeletionVectors=false, then REORG ... PURGE).",
        )
    partition_columns = tuple(table.metadata().partition_columns)
    # Not `pa.table`, which imports pandas to see whether it was given a data frame: half a second a process.
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions()).read_all()
    partitions = actions["partition"].to_pylist() if partition_columns else [{}] * actions.num_rows
    columns = (actions[name].to_pylist() for name in ("path", "num_records", "size_bytes"))
    files = (
        _data_file(storage, partition, unquote(path), rows, size)
        for partition, path, rows, size in zip(partitions, *columns, strict=True)
    )
    return TableState(
        version=table.version(),
        schema=pa.schema(pa.schema(table.schema().to_arrow())),
        partition_columns=partition_columns,
        files=tuple(sorted(files, key=lambda file: file.path)),
        has_local_timestamps="timestampNtz" in features,
    )


def commit_path(version: int) -> str:
    """The file that makes `version` exist; a commit creates it, and nothing ever changes it."""
    return f"_delta_log/{version:020d}.json"


def versions(storage: Storage) -> list[int]:
    """The versions whose commits are still in the log, oldest first."""
    names = storage.files("_delta_log")
    return [int(name[:20]) for name in names if name.endswith(".json") and name[:-5].isdigit()]


@dataclass(frozen=True)
class Commit:
    """One commit: when (UTC, None where a foreign writer did not say), and the data files that it added."""

    version: int
    at: datetime | None
    added: frozenset[str]


def commits(storage: Storage) -> list[Commit]:
    """The commits that the log still has, oldest first."""
    found = []
    for version in versions(storage):
        actions = _actions(storage, version)
        info: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        found.append(Commit(version, committed_at(info), _added(actions)))
    return found


def added_files(storage: Storage, version: int) -> frozenset[str]:
    """The data files that the commit of `version` added, by their path inside the table."""
    return _added(_actions(storage, version))


def _actions(storage: Storage, version: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in storage.read(commit_path(version)).splitlines()]


def _added(actions: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(unquote(action["add"]["path"]) for action in actions if "add" in action)


def commit_info(storage: Storage, version: int) -> dict[str, Any]:
    """What the commit of `version` says about itself; empty when the log no longer has it.

    Read from the log itself, because `DeltaTable.history` of deltalake 1.6 numbers commits wrongly on a table opened
    at an older version.
    """
    path = commit_path(version)
    if storage.find([path]) == [None]:
        return {}
    for line in storage.read(path).splitlines():
        action: Mapping[str, Any] = json.loads(line)
        if "commitInfo" in action:
            return dict(action["commitInfo"])
    return {}


def metadata_of(info: Mapping[str, Any]) -> dict[str, str]:
    """The metadata that `LakeTable.replace` was given; empty for a commit of another writer."""
    try:
        found = json.loads(info.get("userMetadata") or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def committed_at(info: Mapping[str, Any]) -> datetime | None:
    """The commit's wall-clock time in UTC."""
    stamp = info.get("timestamp")
    return None if stamp is None else datetime.fromtimestamp(stamp / 1000, UTC)


def _data_file(
    storage: Storage, partition: dict[str, PartitionValue | None], path: str, rows: int | None, size: int
) -> DataFile:
    if rows is None:
        raise InputError(
            f"The log of {storage.uri} does not say how many rows {path} has.",
            hint="Rewrite the table with a writer that records statistics.",
        )
    uri = path if "://" in path else storage.absolute(path)
    return DataFile(uri=uri, partition=partition, rows=rows, bytes=size, path=path)
