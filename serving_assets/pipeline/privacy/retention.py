"""Retention: what is no longer needed is removed, and never what a rollback inside its window needs.

Here: which versions, rows, documents and folders those are. Not here: the removal of a table's files (lake/vacuum.py)
or of tombstones (store/), and the erasure of a person (erase_person.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from serving_assets.catalog.names import quarantined_table
from serving_assets.engines.delete_rows import count_rows, delete_rows
from serving_assets.engines.protocol import Input, Query
from serving_assets.failpoints import failpoint
from serving_assets.lake import LakeTable, remove_files, remove_table, stale_files
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.existing_collections import collections_left, existing_collections
from serving_assets.pipeline.publishing.published_documents import PublishedCollection
from serving_assets.store import RETIRE, OnlineStore, remove_tombstones
from serving_assets.store.read import TOMBSTONE_GRACE_SECONDS

LEFTOVER_ROWS = "_ingested_at < CAST($before AS TIMESTAMPTZ)"


@dataclass(frozen=True)
class Removed:
    """What was removed from one place, or would be: rows or documents, files, and their bytes."""

    what: str
    where: str
    rows: int = 0
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Horizon:
    """The instants (UTC) before which things are no longer wanted."""

    rollback: datetime
    rejected: datetime
    orphans: datetime

    @classmethod
    def of(cls, platform: Platform, now: datetime) -> Horizon:
        """As the settings say."""
        s = platform.settings
        return cls(
            rollback=now - timedelta(days=s.rollback_days),
            rejected=now - timedelta(days=s.rejected_days),
            orphans=now - timedelta(hours=s.orphan_hours),
        )


def retain(platform: Platform, *, dry_run: bool = False, now: datetime | None = None) -> list[Removed]:
    """Remove what is no longer wanted, or with `dry_run` only report it; may be killed and repeated at any time.

    Raises:
        InputError: when a version that a rollback needs is not whole; nothing of its table is removed then.
    """
    horizon = Horizon.of(platform, now or datetime.now(UTC))
    removed = [
        *_retired(platform, horizon, dry_run),
        *_rejected_rows(platform, horizon, dry_run),
        *_versions(platform, horizon, dry_run),
        *_tombstones(platform.store, dry_run),
        *_bundles(platform, horizon, dry_run),
        *_leftovers(platform, horizon, dry_run),
    ]
    return [found for found in removed if found.rows or found.files]


def remove_use_case(platform: Platform, use_case: str, before: datetime, *, dry_run: bool) -> Iterator[Removed]:
    """Remove the tables and downloaded bundles of a use case, each if it was last written before that instant."""
    for name in platform.lake.tables():
        table = platform.lake.table(name)
        if not name.startswith(f"{use_case}/") or (_last_commit(table) or before) >= before:
            continue
        files = table.storage.walk()
        if not dry_run:
            remove_table(table)
        yield Removed("tables of a retired use case", name, files=len(files), bytes=sum(file.bytes for file in files))
    folder = platform.settings.bundles_dir / use_case
    if folder.is_dir() and _modified(folder) < before:
        yield _removed("model bundles of a retired use case", folder, platform, dry_run)


def _retired(platform: Platform, horizon: Horizon, dry_run: bool) -> Iterator[Removed]:
    """What use cases have left whose every collection was retired, once no rollback inside the window needs it."""
    ended: dict[str, list[bool]] = {}
    for collection in existing_collections(platform):
        log = ActivationLog(platform, collection).entries()
        over = bool(log) and log[-1].kind == RETIRE and datetime.fromisoformat(log[-1].at) < horizon.rollback
        ended.setdefault(collection.use_case, []).append(over or not log)
    for use_case, each in ended.items():
        if all(each) and any(ActivationLog(platform, c).entries() for c in collections_left(platform, use_case)):
            yield from remove_use_case(platform, use_case, horizon.rollback, dry_run=dry_run)


def _last_commit(table: LakeTable) -> datetime | None:
    newest = table.history(limit=1)
    return newest[0]["timestamp"] if newest else None


def served_versions(platform: Platform, collection: PublishedCollection, since: datetime) -> set[int]:
    """The versions of a collection's table that the store builds on, or that were served at `since` or after it.

    A rollback reads the latter, and the difference to what is published next is found from the former.
    """
    log = ActivationLog(platform, collection).entries()
    ends = [datetime.fromisoformat(entry.at) for entry in log[1:]]
    served = {e.generation for e, end in zip_longest(log, ends) if end is None or end >= since}
    control = platform.store.control(collection.name)
    built_on = (control.published, control.before) if control else ()
    return {generation.snapshot_version for generation in (*served, *built_on) if generation}


def _rejected_rows(platform: Platform, horizon: Horizon, dry_run: bool) -> Iterator[Removed]:
    verb = count_rows if dry_run else delete_rows
    for name in platform.lake.tables():
        if quarantined_table(name):
            rows = verb(platform.engine, platform.lake.table(name), LEFTOVER_ROWS, {"before": horizon.rejected})
            yield Removed("rejected rows", name, rows=rows)


def _versions(platform: Platform, horizon: Horizon, dry_run: bool) -> Iterator[Removed]:
    published: dict[str, set[int]] = {}
    for collection in existing_collections(platform):
        kept = served_versions(platform, collection, horizon.rollback)
        published.setdefault(collection.table, set()).update(kept)
    for name in platform.lake.tables():
        table, keep = platform.lake.table(name), published.get(name, set())
        _check_whole(table, keep)
        stale = stale_files(table, keep=keep, since=horizon.rollback, orphans_before=horizon.orphans)
        if not dry_run:
            remove_files(table, stale)
            failpoint("retention.after_table")
        yield Removed("files of old versions", name, files=len(stale), bytes=sum(file.bytes for file in stale))


def _check_whole(table: LakeTable, versions: Iterable[int]) -> None:
    """Every version that can be opened has its files; one whose log is gone was given up when a person was erased."""
    readable = {entry["version"] for entry in table.history()}
    for version in readable & set(versions):
        table.scan(version=version).files()


def _tombstones(store: OnlineStore, dry_run: bool) -> Iterator[Removed]:
    for collection in store.collections():
        count = _removable_tombstones(store, collection) if dry_run else remove_tombstones(store, collection)
        yield Removed("tombstones", collection, rows=count)


def _removable_tombstones(store: OnlineStore, collection: str) -> int:
    """How many `store.remove_tombstones` would remove."""
    control = store.control(collection)
    if control is None or control.active is None or control.since is None:
        return 0
    if datetime.now(UTC) - datetime.fromisoformat(control.since) < timedelta(seconds=TOMBSTONE_GRACE_SECONDS):
        return 0
    newest = control.active if control.previous is None else control.previous
    return sum(
        document.cur is None and document.cur_g <= newest and not control.is_void(document.cur_g)
        for document in store.every_document(collection)
    )


def _bundles(platform: Platform, horizon: Horizon, dry_run: bool) -> Iterator[Removed]:
    """Downloaded bundles that neither serve nor served inside the window; the registry still has them."""
    for folder in _children(platform.settings.bundles_dir):
        bundles = [path for path in _children(folder) if path.is_dir() and path.name[0] != "."]  # not the pointer
        old = [path for path in bundles if _modified(path) < horizon.rollback]
        wanted = _models_in_use(platform, folder.name, horizon.rollback) if old else set()
        for path in old:
            if path.name not in wanted:
                yield _removed("model bundle", path, platform, dry_run)


def _models_in_use(platform: Platform, use_case: str, since: datetime) -> set[str]:
    from serving_assets.models.lifecycle.registry import CANDIDATE, CHAMPION

    versions = {platform.registry.alias(use_case, alias) for alias in (CHAMPION, CANDIDATE)}
    for collection in collections_left(platform, use_case):
        if collection.model_version is None:
            continue
        table = platform.lake.table(collection.table)
        readable = {entry["version"] for entry in table.history()}
        for version in served_versions(platform, collection, since) & readable:
            query = Query("SELECT DISTINCT model_version FROM t", {"t": Input(table.scan(version=version))})
            versions |= set(platform.engine.collect(query).column("model_version").to_pylist())
    return {version for version in versions if version}


def _leftovers(platform: Platform, horizon: Horizon, dry_run: bool) -> Iterator[Removed]:
    """What killed processes left: spilled data of queries, and downloads that never became a bundle."""
    for path in _children(platform.settings.scratch_dir):
        if _modified(path) < horizon.orphans:
            yield _removed("spilled data", path, platform, dry_run)
    for folder in _children(platform.settings.bundles_dir):
        for path in _children(folder):
            if path.name[0] == "." and _modified(path) < horizon.orphans:
                yield _removed("unfinished download", path, platform, dry_run)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _modified(path: Path) -> datetime:
    """When the newest file of `path` was last written."""
    newest = max((found.stat().st_mtime for found in (path, *path.rglob("*"))), default=0.0)
    return datetime.fromtimestamp(newest, UTC)


def _removed(what: str, path: Path, platform: Platform, dry_run: bool) -> Removed:
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    removed = Removed(
        what,
        str(path.relative_to(platform.settings.data_dir)),
        files=len(files),
        bytes=sum(found.stat().st_size for found in files),
    )
    if not dry_run:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return removed
