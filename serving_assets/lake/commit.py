"""Adding one version to a table's log, so that no other writer's rows are lost or doubled.

Here: who wins when two write. Not here: the rows (`writer`), or what a version contains (`log`).

deltalake's own conflict check is not relied on: it lets a whole-table overwrite pass beside a commit that added files
in the meantime, which leaves both writers' rows in the table (tried with 1.6.6). So every commit is tried at exactly
the next version, and is tried again only while what it replaces is still what it saw when it began.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, TableFeatures
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from serving_assets.errors import ConflictError
from serving_assets.lake.arrow import has_local_timestamps
from serving_assets.lake.log import Snapshot, open_table, snapshot
from serving_assets.lake.selection import Where, delta_filters, describe
from serving_assets.lake.storage import Storage

ATTEMPTS = 50
CONFIGURATION = {"delta.logRetentionDuration": "interval 400 days"}
"""Versions stay readable this long, so that an older one can be compared with, or published again."""


@dataclass(frozen=True)
class Change:
    """A write that waits for its commit.

    Attributes:
        base: the table when the write began; None when there was none.
        schema: the whole table's schema after the write.
        where: the partitions replaced; empty for the whole table.
        pinned: whether any commit since `base` is a conflict, also one to other partitions.
    """

    name: str
    base: Snapshot | None
    schema: pa.Schema
    partition_by: tuple[str, ...]
    where: Where
    adds: list[AddAction]
    metadata: Mapping[str, str]
    description: str | None
    pinned: bool


def commit(storage: Storage, change: Change) -> int:
    """Make `change` the next version and return its number.

    Raises:
        ConflictError: when another writer committed to what `change` replaces since it began.
    """
    if change.base is None:
        return _create(storage, change)
    for _ in range(ATTEMPTS):
        table = open_table(storage)
        if table is None:
            raise _conflict(change, "the table was removed")
        current = snapshot(storage, table)
        if _landed(change, current):
            return current.version
        _check_unchanged(change, current)
        try:
            _replace(table, current, change)
        except CommitFailedError:
            continue
        return current.version + 1
    raise _conflict(change, f"other writers were faster {ATTEMPTS} times in a row")


def _create(storage: Storage, change: Change) -> int:
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
    except DeltaError as error:
        if open_table(storage) is None:
            raise
        raise _conflict(change, "another writer created the table") from error
    return 0


def _replace(table: DeltaTable, current: Snapshot, change: Change) -> None:
    if has_local_timestamps(change.schema) and not current.has_local_timestamps:
        # Committing such a column first would leave a table that nobody can open any more.
        table.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)
        raise CommitFailedError("the table has the feature now; commit on top of it")
    table.create_write_transaction(
        list(change.adds),
        "overwrite",
        Schema.from_arrow(change.schema),
        list(change.partition_by),
        delta_filters(change.where) or None,
        commit_properties=_properties(change),
    )


def _properties(change: Change) -> CommitProperties:
    metadata = json.dumps(dict(change.metadata), sort_keys=True)
    return CommitProperties(custom_metadata={"userMetadata": metadata}, max_commit_retries=0)


def _landed(change: Change, current: Snapshot) -> bool:
    """Whether an attempt that reported a failure had in truth been committed."""
    own = {add.path for add in change.adds}
    return bool(own) and own <= current.paths()


def _check_unchanged(change: Change, current: Snapshot) -> None:
    base = change.base
    if base is None or current.version == base.version:
        return
    if change.pinned:
        raise _conflict(change, f"version {current.version} was committed, version {base.version} was expected")
    if current.schema != base.schema or current.partition_columns != base.partition_columns:
        raise _conflict(change, "another writer changed the table's columns")
    if current.paths(change.where) != base.paths(change.where):
        raise _conflict(change, f"another writer replaced {describe(change.where)}")


def _conflict(change: Change, why: str) -> ConflictError:
    return ConflictError(
        f"{change.name} was not written: {why} while this write ran.",
        mend="Run it again; it then starts from what the other writer left.",
    )
