"""The erasure of a person: from tables and their history, the online store, the API's log, Dagster's event log.

Here: its steps, each of which may be killed and repeated, and the proof at the end. Not here: where a person is named
(find_person.py), or the register that keeps a person from coming back (erasure_register.py).

Old versions of a table cannot be rewritten, they can only be given up: an erasure ends the window for rollbacks of
everything that held the person. The active generation is published again without the person, the generation before it
is let go, and the tables keep their newest version alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from serving_assets.catalog.serve import LOG_FOLDER
from serving_assets.engines.delete_rows import delete_rows
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.errors import ServingAssetsError
from serving_assets.failpoints import failpoint
from serving_assets.lake import forget_history, remove_files, stale_files
from serving_assets.pipeline.dagster_instance.check_examples import count_examples, remove_examples
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_certified_rows import certificates_with_rows, erase_certified_rows
from serving_assets.pipeline.privacy.erase_documents import erase_documents
from serving_assets.pipeline.privacy.erase_prediction_log import STILL_WRITTEN, answers_naming, erase_answers
from serving_assets.pipeline.privacy.erasure_register import ErasureRequest
from serving_assets.pipeline.privacy.find_person import (
    Holder,
    Left,
    documents_naming,
    files_naming,
    holders,
    log_names,
    names_one_of,
    rows_naming,
)
from serving_assets.pipeline.publishing.existing_collections import existing_collections, may_hold
from serving_assets.pipeline.publishing.published_documents import PublishedCollection

SWEPT_AGAIN = timedelta(days=7)
"""For how long the nightly run looks again at persons who are erased: a run that had read their rows before may have
written them after."""


EVENT_LOG = "Dagster's event log"
WHY_TOMBSTONES = "They hold the key alone; retention removes them when no read that began before can need them."


def due(platform: Platform, now: datetime | None = None) -> list[ErasureRequest]:
    """The requests that wait for nothing any more: begun or not, and those erased lately, to be proven once more."""
    instant = now or datetime.now(UTC)
    return [
        request
        for request in erasure_register.requests(platform)
        if request.due_at <= instant and (request.erased_at is None or request.erased_at > instant - SWEPT_AGAIN)
    ]


def erase(
    platform: Platform, instance: dg.DagsterInstance, requests: Iterable[ErasureRequest], now: datetime | None = None
) -> list[ErasureRequest]:
    """Carry out these requests, all at once; return them as the register has them then, with what was removed.

    What exists decides where a person is searched for, not what is declared today.

    Raises:
        ServingAssetsError: when something is left; what was done stays done, and a repetition goes on from there.
    """
    wanted = list(requests)
    for key in sorted({request.key for request in wanted}):
        hashes = {request.subject for request in wanted if request.key == key}
        _erase(platform, instance, key, hashes, now or datetime.now(UTC))
    known = {request.subject: request for request in erasure_register.requests(platform)}
    return [known[request.subject] for request in wanted]


def remains(platform: Platform, instance: dg.DagsterInstance, key: str, subjects: PersonHashes) -> list[Left]:
    """Return all that still names one of these persons.

    Reads every data file, every document, every answer in the prediction log and every evaluation of a check.
    """
    left = []
    for holder in holders(platform, key):
        name = holder.table.name
        left.append(Left("rows", name, sum(rows_naming(platform, holder, subjects).values())))
        left.append(Left("data files", name, len(files_naming(platform, holder, subjects)), _why_files(platform)))
        left.append(Left("entries of the log", name, log_names(holder, subjects)))
    for collection in _collections(platform, key):
        full, empty = documents_naming(platform.store, collection.name, subjects)
        left.append(Left("documents", collection.name, len(full)))
        left.append(Left("empty tombstones", collection.name, len(empty), WHY_TOMBSTONES))
    left.append(Left("answers", LOG_FOLDER, answers_naming(platform, subjects).total(), STILL_WRITTEN))
    left.append(Left("example rows of checks", EVENT_LOG, count_examples(instance, names_one_of(subjects))))
    left.append(Left("rows in certificates", "model bundles", len(certificates_with_rows(platform))))
    return [found for found in left if found.count]


def _erase(platform: Platform, instance: dg.DagsterInstance, key: str, hashes: set[str], now: datetime) -> None:
    subjects = erasure_register.subjects(platform, key, hashes)
    for request in erasure_register.requests(platform):
        if request.subject in hashes and request.begun_at is None:
            erasure_register.update(platform, request.subject, begun_at=now)
    failpoint("erasure.after_begin")
    found = holders(platform, key)
    for holder in found:
        _note(platform, holder.table.name, rows_naming(platform, holder, subjects))
        delete_rows(platform.engine, holder.table, subjects.condition(holder.places), {"secret": subjects.secret})
        failpoint("erasure.after_rows")
    for collection in _collections(platform, key):
        full, _ = documents_naming(platform.store, collection.name, subjects)
        _note(platform, collection.name, Counter(map(subjects.hash, full)))
        failpoint("erasure.before_publish")
        erase_documents(platform, collection, subjects)
        failpoint("erasure.after_publish")
    _note(platform, LOG_FOLDER, answers_naming(platform, subjects))
    erase_answers(platform, subjects)
    failpoint("erasure.before_examples")
    remove_examples(instance, names_one_of(subjects))
    erase_certified_rows(platform)
    for holder in found:
        _forget(platform, holder, subjects, now)
    _prove(platform, instance, key, subjects, now)


def _note(platform: Platform, place: str, counts: Mapping[str, int]) -> None:
    """Enter how much there is of each before it goes: after a kill, what is gone cannot be counted any more."""
    for request in erasure_register.requests(platform):
        count = counts.get(request.subject, 0)
        if count > request.removed.get(place, 0):
            erasure_register.update(platform, request.subject, removed={**request.removed, place: count})


def _forget(platform: Platform, holder: Holder, subjects: PersonHashes, now: datetime) -> None:
    """Give up all versions but the newest of a table that held one of these persons in any of them."""
    table = holder.table
    if not files_naming(platform, holder, subjects) and not log_names(holder, subjects):
        return
    newest = table.at().version
    orphans = now - timedelta(hours=platform.settings.orphan_hours)
    remove_files(table, stale_files(table, orphans_before=orphans))
    failpoint("erasure.after_files")
    forget_history(table, newest)
    failpoint("erasure.after_history")


def _prove(platform: Platform, instance: dg.DagsterInstance, key: str, subjects: PersonHashes, now: datetime) -> None:
    left = [found for found in remains(platform, instance, key, subjects) if found.what != "empty tombstones"]
    if left:
        remaining = "; ".join(f"{found.count} {found.what} of {found.where}" for found in left)
        raise ServingAssetsError(
            f"The erasure is not complete: {remaining}.",
            hint=next((found.hint for found in left if found.hint), "Run it again: it goes on from here."),
        )
    failpoint("erasure.before_receipt")
    for request in erasure_register.requests(platform):
        if request.subject in subjects.hashes and request.erased_at is None:
            erasure_register.update(platform, request.subject, erased_at=now)


def _collections(platform: Platform, key: str) -> list[PublishedCollection]:
    """Every collection of the store whose ids may be values of this key, declared today or not."""
    return [collection for collection in existing_collections(platform) if may_hold(platform, collection, key)]


def _why_files(platform: Platform) -> str:
    return (
        "A file that no version names may be one that a writer is about to commit; after "
        f"{platform.settings.orphan_hours} hours it counts as abandoned, and the next nightly run removes it."
    )
