"""Adding one version to a table's log, so that no other writer's rows are lost or doubled.

Here: who wins when two write. Not here: the rows (`writer`), or what a version contains (`log`).

deltalake's own conflict check is not relied on: it lets a whole-table overwrite pass beside a commit that added files
in the meantime, which leaves both writers' rows in the table (tried with 1.6.6). So every commit is tried at exactly
the next version, and is tried again only while what it replaces is still what it saw when it began.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, TableFeatures
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from serving_assets.errors import ConflictError
from serving_assets.lake.arrow import has_local_timestamps
from serving_assets.lake.log import TableState, added_files, open_table, snapshot, versions
from serving_assets.lake.selection import Where, delta_filters, describe
from serving_assets.lake.storage import Storage

ATTEMPTS = 50
CONFIGURATION = {"delta.logRetentionDuration": "interval 400 days", "delta.checkpointInterval": "25"}
"""Versions stay readable long enough to compare with an older one, or to publish it again. A checkpoint every 25
commits instead of 100 halves the time to open a table of 400 daily commits."""


@dataclass(frozen=True)
class TableChange:
    """A write that waits for its commit.

    Attributes:
        base: the table when the write began; None when there was none.
        schema: the whole table's schema after the write.
        where: the partitions replaced; empty for the whole table.
        pinned: whether any commit since `base` is a conflict, also one to other partitions.
    """

    name: str
    base: TableState | None
    schema: pa.Schema
    partition_by: tuple[str, ...]
    where: Where
    adds: list[AddAction]
    metadata: Mapping[str, str]
    description: str | None
    pinned: bool


def commit(storage: Storage, change: TableChange) -> int:
    """Make `change` the next version and return its number.

    Raises:
        ConflictError: when another writer committed to what `change` replaces since it began.
    """
    for _ in range(ATTEMPTS):
        table = open_table(storage)
        if table is None:
            if _create(storage, change):
                return 0
            continue
        current = snapshot(storage, table)
        if _landed(change, current):
            return current.version
        _check_unchanged(change, current)
        try:
            if has_local_timestamps(change.schema) and not current.has_local_timestamps:
                change = _prepare_local_timestamps(storage, table, current, change)
                continue
            _replace(table, change)
        except CommitFailedError:
            continue
        return current.version + 1
    raise _conflict(change, f"other writers were faster {ATTEMPTS} times in a row")


def may_be_committed(storage: Storage, change: TableChange) -> bool:
    """Whether a version names the files of `change`, although its commit has failed; True if the log cannot tell."""
    own = {add.path for add in change.adds}
    try:
        newer = [version for version in versions(storage) if change.base is None or version > change.base.version]
        return any(own & added_files(storage, version) for version in newer)
    except (OSError, ValueError, DeltaError):
        return True


def _create(storage: Storage, change: TableChange) -> bool:
    """Whether this created the table; not when another writer was first."""
    if change.base is not None:
        raise _conflict(change, "the table was removed")
    try:
        create_table_with_add_actions(
            storage.uri,
            Schema.from_arrow(change.schema),
            change.adds,
            mode="error",
            partition_by=list(change.partition_by),
            description=change.description,
            configuration=CONFIGURATION,
            storage_options=dict(storage.options) or None,
            commit_properties=_properties(change),
        )
    except DeltaError:
        if open_table(storage) is None:
            raise
        return False
    return True


def _prepare_local_timestamps(
    storage: Storage, table: DeltaTable, current: TableState, change: TableChange
) -> TableChange:
    """Give the table the feature that timestamps without time zone need, in a commit of its own that changes no row.

    deltalake 1.6 would commit such a column without it, and leave a table that cannot be opened any more.
    """
    table.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)
    opened = open_table(storage)
    if opened is None or opened.version() != current.version + 1:
        return change  # another writer committed as well; the next attempt finds out whether that is a conflict
    return replace(change, base=snapshot(storage, opened))


def _replace(table: DeltaTable, change: TableChange) -> None:
    table.create_write_transaction(
        list(change.adds),
        "overwrite",
        Schema.from_arrow(change.schema),
        list(change.partition_by),
        delta_filters(change.where) or None,
        commit_properties=_properties(change),
    )


def _properties(change: TableChange) -> CommitProperties:
    metadata = json.dumps(dict(change.metadata), sort_keys=True)
    return CommitProperties(custom_metadata={"userMetadata": metadata}, max_commit_retries=0)


def _landed(change: TableChange, current: TableState) -> bool:
    """Whether an attempt that reported a failure had in truth been committed."""
    own = {add.path for add in change.adds}
    return bool(own) and own <= current.paths()


def _check_unchanged(change: TableChange, current: TableState) -> None:
    base = change.base
    if base is not None and current.version == base.version:
        return
    if change.pinned:
        raise _conflict(change, f"another writer committed version {current.version}")
    known = {change.schema} | ({base.schema} if base else set())
    if current.schema not in known or current.partition_columns != change.partition_by:
        raise _conflict(change, "another writer changed the table's columns")
    if current.paths(change.where) != (base.paths(change.where) if base else frozenset()):
        raise _conflict(change, f"another writer replaced {describe(change.where)}")


def _conflict(change: TableChange, why: str) -> ConflictError:
    return ConflictError(
        f"{change.name} was not written: {why} while this write ran.",
        hint="Run it again; it then starts from what the other writer left.",
    )
