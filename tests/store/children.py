"""What child processes do to a store: publish, be killed, read without pause.

Here: functions that a spawned process can import, and the lake they publish from. Not here: assertions about the
outcome.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from typing import Any

from serving_assets.errors import ConflictError
from serving_assets.store import Control, DocumentChange, OnlineStore, PublishReport, open_store, publish, read
from tests.store.snapshots import changes, published, snapshot, target

C = "collection"
IDS = range(300)
KILLS = (
    "store.publish.after_begin",
    "store.publish.mid_write",
    "store.publish.mid_write:3",
    "store.publish.before_verify",
    "store.publish.before_flip",
    "store.publish.after_flip",
)
"""Where a publish can be killed."""


def in_child(work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start `work` in a process that inherits the environment and no connection, forked after the imports."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.store.children", "pymongo"])
    child = context.Process(target=_under, args=(dict(os.environ), work, *arguments), daemon=True)
    child.start()
    return child


def _under(environment: dict[str, str], work: Callable[..., Any], *arguments: Any) -> None:
    os.environ.clear()  # the server of the forks keeps the environment of its own start
    os.environ.update(environment)
    work(*arguments)


def held(version: int, entity: int) -> bool:
    """Whether a version of the lake has this entity: one in seven is absent, each time another."""
    return bool(version and (entity + version) % 7)


def lake(version: int, ids: range = IDS) -> dict[Any, str]:
    """The snapshot at a version of the lake: every value is the version."""
    return snapshot({entity: version for entity in ids if held(version, entity)})


def day(version: int) -> str:
    """The instant that the predictions of a version speak of."""
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=version)).isoformat()


def publish_version(
    uri: str, version: int, writer: str = "a writer", ids: range = IDS, **options: Any
) -> PublishReport:
    """Publish a snapshot over whatever is active, as a run of the pipeline does; `options` go to publish."""

    def since(control: Control) -> list[DocumentChange]:
        active = control.published.snapshot_version if control.published else 0
        return changes(lake(active, ids), lake(version, ids), unchanged=bool(options.get("rewrite")))

    goal = target(lake(version, ids), as_of=day(version), version=version)
    with open_store(uri) as store:
        return publish(store, C, since, goal, writer=writer, **{"batch_rows": len(ids) // 6, **options})


def publish_all(uri: str, versions: range, writer: str, together: Any, outcomes: Any) -> None:
    """Publish one version after the other, and report how many were published and how many another writer prevented.

    Begins when as many writers as the barrier `together` counts are ready.
    """
    won = lost = 0
    together.wait()
    for version in versions:
        try:
            publish_version(uri, version, writer)
            won += 1
        except ConflictError:
            lost += 1
    outcomes.put((won, lost))


def read_all_the_time(uri: str, stop: Any, outcomes: Any) -> None:
    """Read batches and single ids until `stop`, and report how many reads and generations, and which were mixed."""
    reads, generations, mixed = 0, set(), []
    with open_store(uri) as store:
        while not stop.is_set():
            ids = list(IDS) if reads % 2 else [reads % len(IDS)]
            reading = read(store, C, ids)
            reads += 1
            if reading.control is None or reading.control.published is None:
                continue
            published = reading.control.published
            generations.add(published.number)
            whole = lake(published.snapshot_version)
            found = {value.entity: value.value["score"] for value in reading.values if value}
            if snapshot(found) != {entity: whole[entity] for entity in ids if entity in whole}:
                mixed.append(published.number)
    outcomes.put((reads, len(generations), mixed))


def read_while_closed_and_replaced(path: Path) -> None:
    """Read in several threads while the file is closed, and replaced by one in which the collection has another number.

    Raises AssertionError for an answer that no file gives.
    """
    uri, made = f"sqlite:///{path}", path.with_name("made.db")
    stop, read_of = Event(), Counter[int]()

    def use(store: OnlineStore) -> None:
        while not stop.is_set():
            control = store.control(C)
            assert control is not None
            assert control.published is not None
            (document,) = store.documents(C, [1]).values()
            assert document.cur is not None
            read_of[control.published.snapshot_version] += 1

    def make(version: int, file: Path) -> None:
        with open_store(f"sqlite:///{file}") as other:
            for name in (*(f"other {number}" for number in range(version)), C):
                published(other, name, {}, snapshot({1: version}), version=version)

    make(1, path)
    with open_store(uri) as store, ThreadPoolExecutor(4) as pool:
        users = [pool.submit(use, store) for _ in range(4)]
        try:
            for version in range(2, 12):
                make(version, made)
                made.replace(path)
                for _ in range(300):
                    store.close()
        finally:
            stop.set()
        for user in users:
            user.result()
        control = store.control(C)
        assert control is not None
        assert control.published is not None
        assert control.published.snapshot_version == 11
        assert read_of.total() > 0
