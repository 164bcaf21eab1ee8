"""Removing from a table's folder what no wanted version needs.

Here: which files that is, and their removal. Not here: which versions are wanted, and for how long
(pipeline/privacy/retention.py), or which rows must go (pipeline/privacy/erase_person.py).

deltalake's own vacuum is not used: it commits, so that a table that was not written has a new version, which whoever
merges by version takes for new rows; and it leaves what killed writers left in the log's folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from serving_assets.errors import ConflictError, InputError
from serving_assets.lake import log
from serving_assets.lake.storage import StoredFile
from serving_assets.lake.table import LakeTable

_LOG = "_delta_log/"
_OF_THE_LOG = re.compile(r"_delta_log/(\d{20}\.|_last_checkpoint$|_sidecars/)")


def stale_files(
    table: LakeTable, *, keep: Collection[int] = (), since: datetime | None = None, orphans_before: datetime
) -> list[StoredFile]:
    """The files in the folder of `table` that no wanted version names.

    Args:
        table: which exists.
        keep: versions that are wanted beside the newest one; those that are gone already are passed over.
        since: every version that was the newest at this instant or after it is wanted, too.
        orphans_before: a file that no commit names may be one that a writer is about to commit; it is stale when it was
            last written before this instant.
    """
    newest = table.at()
    wanted, named = set(newest.paths()), set(newest.paths())
    commits = log.commits(table.storage)
    current = _newest_at(commits, since)
    kept_from = newest.version if current is None else min(current, newest.version)
    for commit in commits:
        named |= commit.added
        if commit.version > kept_from:  # also what other writers have committed since `newest` was read
            wanted |= commit.added
    if commits:
        named |= _paths(table, commits[0].version)
    for version in {*keep, *([current] if current is not None else [])}:
        wanted |= _paths(table, version)
    named |= wanted
    return [
        file
        for file in table.storage.walk()
        if file.path not in wanted
        and not _OF_THE_LOG.match(file.path)
        and (file.path in named or file.modified < orphans_before)
    ]


def remove_files(table: LakeTable, files: Iterable[StoredFile]) -> None:
    """Delete `files` in their order; one that another process has deleted meanwhile is no error."""
    for file in files:
        with suppress(FileNotFoundError):
            table.storage.remove(file.path)


def remove_table(table: LakeTable) -> None:
    """Delete a whole table. A local one disappears at once; repeated, it deletes what a killed removal left."""
    if not table.storage.is_local:
        remove_files(table, sorted(table.storage.walk(), key=lambda file: (not file.path.startswith(_LOG), file.path)))
        return
    folder = Path(table.uri)
    removed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    if folder.exists():
        folder.rename(removed)  # one step: no reader finds a version without its files
        shutil.rmtree(removed)


def forget_history(table: LakeTable, oldest: int) -> None:
    """Cut the log off before version `oldest`, which becomes the oldest one that can be read.

    What earlier commits say of removed rows, the ranges of their columns above all, is gone with it. Their data files
    are not touched: remove them first, because only the log tells them from those of a writer that is still at work.

    Raises:
        ConflictError: when the log could not be cut because the checkpoint that replaces it is not there.
    """
    opened = log.open_table(table.storage, oldest)
    if opened is None:
        return
    names = [file for file in table.storage.walk() if file.path.startswith(_LOG)]
    # From the oldest on, as `walk` sorts them: a commit that is there while the next one is not is the newest.
    older = [file for file in names if (version := _version(file)) is not None and version < oldest]
    if not older:
        return
    opened.create_checkpoint()
    if f"{_LOG}{oldest:020d}.checkpoint.parquet" not in {file.path for file in table.storage.walk()}:
        raise ConflictError(f"{table.name}: no checkpoint of version {oldest} was written.", hint="Run it again.")
    remove_files(table, older)


def _newest_at(commits: list[log.Commit], instant: datetime | None) -> int | None:
    """The version that was the newest at `instant`, or the oldest one known if the table is younger."""
    if instant is None or not commits:
        return None
    before = [commit.version for commit in commits if commit.at is not None and commit.at <= instant]
    return max(before, default=commits[0].version)


def _paths(table: LakeTable, version: int) -> frozenset[str]:
    try:
        return table.at(version).paths()
    except InputError:
        return frozenset()


def _version(file: StoredFile) -> int | None:
    digits = file.path.removeprefix(_LOG)[:20]
    return int(digits) if digits.isdigit() and len(digits) == 20 else None
