"""Rollback: readers get an older generation again, until `resume`.

Here: to which generation, in which way, the pin, and its end. Not here: the screens (commands/rollback.py), the jobs
(pipeline/automation/rollback_jobs.py), or what a store does (store/).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.pipeline.days import as_of
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import (
    ActivationLog,
    active_at,
    of_origin,
    origin,
    refuse_lost,
    standing,
)
from serving_assets.pipeline.publishing.dead_leases import Runs, release_dead_lease
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, documents_of
from serving_assets.pipeline.publishing.publisher import Publisher, parity_with
from serving_assets.store import RETIRE, Activation, Cause, Control, Generation, Pin, rollback, set_pin

SHOWN = 5
How = Literal["one write", "republished", "pinned as it is", "nothing to do"]


@dataclass(frozen=True)
class RollbackRequest:
    """What `by` asks for: a generation, or what readers got at the end of a day; with neither, the one before."""

    by: str
    to: int | None = None
    to_date: date | None = None
    reason: str = ""

    @property
    def writer(self) -> str:
        """The same for a repetition, which then takes over at once from one that was killed."""
        return f"rollback by {self.by}"


@dataclass(frozen=True)
class RolledBack:
    """What came of a rollback.

    Attributes:
        was, generation: the active generation before and after.
        documents_of: the generation whose documents readers get now.
        how: in one write; by publishing the older snapshot anew; or nothing had to change but the pin, or nothing.
        why: why in this way.
        pin: who keeps it so.
        equal: whether the store holds exactly what the lake says of it.
        seconds: until readers got it.
    """

    use_case: str
    collection: str
    was: int
    generation: int
    documents_of: int
    how: How
    why: str
    as_of: str
    model_version: str
    rows: int
    pin: Pin
    equal: bool
    seconds: float


def roll_back(platform: Platform, collection: PublishedCollection, request: RollbackRequest, runs: Runs) -> RolledBack:
    """Give readers an older generation again, and pin it: no publish replaces it until `resume`.

    One write where the older generation is the previous one and no document was touched since; otherwise its snapshot
    is published from the history of the lake, as a new generation. May be killed and repeated. A publish whose run is
    dead, as `runs` know, is not waited for.

    Raises:
        InputError: there is no such generation, or the lake no longer has its snapshot.
        StoreError, ConflictError: the store was lost or is out of reach; another writer publishes at this moment.
    """
    began, store, name = time.monotonic(), platform.store, collection.name
    release_dead_lease(runs, store, name)
    log = ActivationLog(platform, collection).record(store.control(name))
    control = refuse_lost(collection, store.control(name), log)
    assert control.published is not None
    if control.pinned and log[-1].kind != RETIRE and request.to is None and request.to_date is None:
        why = "it is rolled back already; to go further back, name a generation or a day"
        return _told(platform, collection, control, control, ("nothing to do", why), began)
    earlier = of_origin(log, _wanted(collection, log, request))
    failpoint("rollback.before_write")
    way = _go_back(platform, collection, request, control, log, earlier)
    failpoint("rollback.after_write")
    after = store.control(name)
    ActivationLog(platform, collection).record(after)
    assert after is not None
    return _told(platform, collection, control, after, way, began)


def resume(platform: Platform, collection: PublishedCollection, by: str, runs: Runs, reason: str = "") -> Pin | None:
    """Let the next publish replace what was pinned; returns the pin that was, None when there was none.

    A rollback or restore whose run is dead, as `runs` know, is not waited for.

    Raises:
        InputError: nothing was ever published.
        StoreError, ConflictError: the store was lost or is out of reach; another writer publishes at this moment.
    """
    store, log = platform.store, ActivationLog(platform, collection)
    release_dead_lease(runs, store, collection.name)
    control = refuse_lost(collection, store.control(collection.name), log.record(store.control(collection.name)))
    if control.pinned:
        resumed = set_pin(store, collection.name, Cause("resume", by, reason))
        failpoint("resume.after_write")
        log.record(resumed)
    return control.pinned


def one_write_to(control: Control) -> int | None:
    """The generation to which one write leads back at this moment, None when there is none."""
    if control.before is None or not control.clean:
        return None
    return control.before.number


def _go_back(
    platform: Platform,
    collection: PublishedCollection,
    request: RollbackRequest,
    control: Control,
    log: Sequence[Activation],
    earlier: Generation,
) -> tuple[How, str]:
    """Do it; returns how, and why in this way."""
    store, name, previous = platform.store, collection.name, one_write_to(control)
    pin = Pin(request.by, datetime.now(UTC).isoformat(timespec="microseconds"), request.reason)
    cause = Cause("rollback", request.by, request.reason, pin=pin)
    if control.published and origin(control.published) == origin(earlier):
        if control.pinned:
            return "nothing to do", "readers get these documents already, and they are pinned"
        set_pin(store, name, cause)
        return "pinned as it is", "readers get these documents already"
    if previous and control.before and origin(control.before) == origin(earlier):
        rollback(store, name, cause=cause, to=previous)
        return "one write", f"generation {previous} is the previous one, and no document was touched since"
    try:
        documents_of(collection, earlier, platform.lake)
    except InputError as error:
        raise InputError(
            f"{name}: generation {origin(earlier)} cannot be brought back: {error.message}",
            hint=f"These can: {_reachable(platform, collection, log)}.",
        ) from error
    Publisher(platform, collection, request.writer, request.writer).bring_back(earlier, cause)
    if not control.clean:
        return "republished", "a publish stopped half-way, and may have overwritten what one write would lead back to"
    if previous is None:
        return "republished", "no generation can be reached by one write after a rollback or a restore"
    return "republished", f"one write leads back to generation {previous} only"


def _wanted(collection: PublishedCollection, log: Sequence[Activation], request: RollbackRequest) -> int:
    """The origin of the generation asked for."""
    if request.to is not None:
        found = [origin(entry.generation) for entry in log if entry.generation.number == request.to]
        if not found:
            numbers = sorted({entry.generation.number for entry in log}, reverse=True)
            raise InputError(
                f"{collection.name} has no generation {request.to}.",
                hint=f"It has, newest first: {', '.join(map(str, numbers[:20]))}{' ...' if numbers[20:] else ''}.",
            )
        return found[0]
    if request.to_date is not None:
        end = as_of(request.to_date, collection.timezone) - timedelta(microseconds=1)
        if (index := active_at(log, end)) is None:
            raise InputError(
                f"Nothing of {collection.name} was published by the end of {request.to_date}.",
                hint=f"The first generation was published at {log[0].at}.",
            )
        return origin(log[index].generation)
    counting = standing(log)
    if len(counting) < 2:
        raise InputError(
            f"{collection.name} has nothing before generation {log[-1].generation.number}.",
            hint="Fix what is wrong, materialize the predictions again and publish them.",
        )
    return counting[-2]


def _reachable(platform: Platform, collection: PublishedCollection, log: Sequence[Activation]) -> str:
    """The newest few generations whose snapshot the lake still has."""
    found: list[int] = []
    for number in sorted({origin(entry.generation) for entry in log}, reverse=True):
        try:
            documents_of(collection, of_origin(log, number), platform.lake)
        except InputError:
            continue
        found.append(number)
        if len(found) == SHOWN:
            break
    return ", ".join(map(str, found)) or "none"


def _told(
    platform: Platform,
    collection: PublishedCollection,
    before: Control,
    after: Control,
    way: tuple[How, str],
    began: float,
) -> RolledBack:
    seconds = time.monotonic() - began
    now = after.published
    assert before.published is not None
    assert now is not None
    assert after.pinned is not None
    return RolledBack(
        use_case=collection.use_case,
        collection=collection.name,
        was=before.published.number,
        generation=now.number,
        documents_of=origin(now),
        how=way[0],
        why=way[1],
        as_of=now.as_of,
        model_version=now.model_version,
        rows=now.rows,
        pin=after.pinned,
        equal=parity_with(platform, documents_of(collection, now, platform.lake)).equal,
        seconds=seconds,
    )
