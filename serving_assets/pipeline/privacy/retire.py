"""The end of a use case: its queued runs are cancelled, readers get nothing, and retention may remove the rest.

Here: the steps, each of which may be killed and repeated, whether the use case is declared or its folder is gone. Not
here: what retention removes, and when (retention.py), or the command (commands/retire.py).

The collection stays pinned at a generation without documents: as long as the folder is there, a run that would publish
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy.retention import Removed, remove_use_case
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.dead_leases import release_dead_lease
from serving_assets.pipeline.publishing.existing_collections import collections_left
from serving_assets.pipeline.publishing.published_documents import PublishedCollection
from serving_assets.store import (
    RETIRE,
    BareChange,
    Cause,
    Control,
    Pin,
    PublishTarget,
    drop_previous,
    publish,
    remove_tombstones,
    scan,
)

WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


@dataclass(frozen=True)
class Retirement:
    """What was done, or with `dry_run` would be.

    Attributes:
        declared: whether the use case's folder is still there; then its schedules go on until it is removed.
        cancelled: the queued runs that were cancelled.
        unpublished: documents that readers could get, by collection.
        removed: the tables and bundles that no rollback needs any more.
        kept: the tables that stay, and `removable_at` when retention removes the last of them (UTC).
    """

    use_case: str
    declared: bool
    cancelled: tuple[str, ...]
    unpublished: dict[str, int]
    removed: tuple[Removed, ...]
    kept: tuple[str, ...]
    removable_at: datetime | None


def retire(
    platform: Platform,
    instance: dg.DagsterInstance,
    use_case: str,
    by: str,
    *,
    reason: str = "",
    dry_run: bool = False,
    now: datetime | None = None,
) -> Retirement:
    """End a use case: cancel its queued runs, unpublish all its collections, and remove what no rollback needs.

    Raises:
        InputError: neither a declaration nor a table nor a collection of that name exists.
        ConflictError: another writer publishes at this moment.
        StoreError: the store is out of reach.
    """
    collections, declared = collections_left(platform, use_case), use_case in platform.catalog.use_cases
    tables = _tables(platform, use_case)
    if not (collections or declared or tables):
        raise InputError(
            f"Nothing of a use case {use_case!r} exists.", hint="serving-assets status lists those that do."
        )
    instant, window = now or datetime.now(UTC), timedelta(days=platform.settings.rollback_days)
    cancelled = tuple(_cancel(instance, use_case, dry_run=dry_run))
    unpublished = {}
    for collection in collections:
        control = platform.store.control(collection.name)
        if control is not None and control.published is not None:
            unpublished[collection.name] = control.published.rows
            if not dry_run:
                _unpublish(platform, collection, instance, by, reason)
    removed = tuple(remove_use_case(platform, use_case, instant - window, dry_run=dry_run))
    gone = {found.where for found in removed}
    kept = tuple(name for name in tables if name not in gone)
    return Retirement(use_case, declared, cancelled, unpublished, removed, kept, instant + window if kept else None)


def _cancel(instance: dg.DagsterInstance, use_case: str, *, dry_run: bool) -> Iterator[str]:
    """Queued runs that make assets of this use case alone."""
    for run in instance.get_runs(dg.RunsFilter(statuses=list(WAITING))):
        assets = run.asset_selection or frozenset()
        if assets and all(key.path[0] == use_case for key in assets):
            if not dry_run:
                instance.report_run_canceled(run, message=f"The use case {use_case} was retired.")
            yield run.run_id


def _unpublish(
    platform: Platform, collection: PublishedCollection, instance: dg.DagsterInstance, by: str, reason: str
) -> None:
    store, name, log = platform.store, collection.name, ActivationLog(platform, collection)
    release_dead_lease(lambda: instance, store, name)
    control = store.control(name)
    log.record(control)
    assert control is not None
    if not _is_retired(control):
        _publish_nothing(platform, name, control, by, reason)
    failpoint("retire.after_publish")
    control = drop_previous(store, name)
    log.record(control)
    left: list[BareChange] = [(document.entity, None, None) for document in store.every_document(name)]
    if left:
        store.upsert(name, control.taken, None, control.void, left)  # empties the slots that held the older values
    remove_tombstones(store, name)


def _is_retired(control: Control) -> bool:
    return bool(control.activations) and control.activations[-1].kind == RETIRE


def _publish_nothing(platform: Platform, name: str, control: Control, by: str, reason: str) -> None:
    """One generation without documents, which stays: readers of the use case find nothing from its flip on."""
    active = control.published
    assert active is not None
    target = PublishTarget(active.as_of, active.model_version, active.snapshot_version, 0, 0, f"retire-{by}")
    pin = Pin(by, datetime.now(UTC).isoformat(timespec="microseconds"), reason or "the use case was retired")
    changes: list[BareChange] = [(entity, text, None) for entity, text in scan(platform.store, name)]
    cause = Cause(RETIRE, by, reason, pin=pin)
    publish(platform.store, name, changes, target, writer=f"retire by {by}", cause=cause)


def _tables(platform: Platform, use_case: str) -> list[str]:
    return [name for name in platform.lake.tables() if name.startswith(f"{use_case}/")]
