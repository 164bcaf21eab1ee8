"""Generations to publish without scoring anew, what readers must get of each, and processes that are killed meanwhile.

Here: the helpers of the tests of rollback, trace and restore. Not here: what must hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

from serving_assets.engines.protocol import Input, Query
from serving_assets.failpoints import VARIABLE
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    documents_of,
    newest_documents,
    predictions_of,
)
from serving_assets.pipeline.publishing.publisher import Publisher, parity_with
from serving_assets.pipeline.publishing.restore import restore
from serving_assets.pipeline.publishing.rollback import RollbackRequest, RolledBack, resume, roll_back
from serving_assets.store import Cause, Control, Entity
from tests.pipeline.slice import Bench, small_catalog

PATIENCE = 120
PRELOADED = ["tests.pipeline.generations", "duckdb", "deltalake"]

VARIANT = """
    SELECT * REPLACE (
        round(score * (10 - $v % 7) / 10, 9) AS score,
        CAST(scored_for + CASE WHEN household_id % 3 = 0 THEN $v % 4 ELSE 0 END AS DATE) AS scored_for,
        CASE WHEN household_id % 2 = 0 THEN '1' ELSE CAST($v AS VARCHAR) END AS model_version
    ) FROM t WHERE household_id % 5 != $v % 5
"""
"""Scores, days and models differ from variant to variant; a fifth of the households is missing, each time another."""


@dataclass
class Generations:
    """A workspace whose predictions are published in variants."""

    bench: Bench
    documents: dict[int, dict[Entity, str]] = field(default_factory=dict)
    """What readers must get of each generation."""

    @cached_property
    def collection(self) -> PublishedCollection:
        """The predictions."""
        return predictions_of(self.bench.use_case)

    @property
    def control(self) -> Control:
        """What the store says now."""
        control = self.bench.platform.store.control(self.collection.name)
        assert control is not None
        return control

    @property
    def active(self) -> int:
        """The generation that readers get."""
        assert self.control.active is not None
        return self.control.active

    @property
    def log(self) -> ActivationLog:
        """The lake's log."""
        return ActivationLog(self.bench.platform, self.collection)

    def put(self, variant: int) -> None:
        """Make `latest` another one."""
        p = self.bench.platform
        latest = p.lake.table(self.collection.table)
        rows = p.engine.collect(Query(VARIANT, {"t": Input(latest.scan(version=0))}, {"v": variant}))
        latest.replace(rows.to_reader())

    def publish(self, variant: int) -> int:
        """Publish a variant; returns its generation."""
        self.put(variant)
        return self.publish_newest()

    def publish_newest(self) -> int:
        """Publish `latest`; returns its generation."""
        p = self.bench.platform
        snapshot = newest_documents(self.collection, p.engine, p.lake)
        Publisher(p, self.collection, "a run", "a run").publish(snapshot, Cause("publish", "a run"))
        self.documents[self.active] = dict(snapshot.documents(p.engine))
        return self.active

    def roll_back(self, to: int | None = None, reason: str = "") -> RolledBack:
        """Go back, as a person does."""
        told = roll_back(
            self.bench.platform, self.collection, RollbackRequest("somebody", to, None, reason), self.bench.runs
        )
        self.documents.setdefault(told.generation, self.documents[told.documents_of])
        return told

    def resume(self) -> None:
        """Unpin."""
        resume(self.bench.platform, self.collection, "somebody", self.bench.runs)

    def assert_sound(self) -> None:
        """Readers get the active generation, whole, and the lake agrees by count and digest."""
        assert self.bench.documents() == self.documents[self.active]
        published = self.control.published
        assert published is not None
        p = self.bench.platform
        assert parity_with(p, documents_of(self.collection, published, p.lake)).equal

    def lose_the_store(self) -> None:
        """The store comes back empty."""
        self.bench.platform.store.close()
        for file in self.bench.settings.data_dir.glob("online.db*"):
            file.unlink()


def published(bench: Bench, *variants: int) -> Generations:
    """The workspace's first generation, and one of each variant."""
    found = Generations(bench)
    found.documents[found.active] = bench.documents()
    for variant in variants:
        found.publish(variant)
    return found


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


ACTS: Mapping[str, Callable[[Generations], object]] = {
    "publish": lambda g: g.publish_newest(),
    "roll back one": lambda g: roll_back(g.bench.platform, g.collection, RollbackRequest("somebody"), g.bench.runs),
    "roll back to 1": lambda g: roll_back(g.bench.platform, g.collection, RollbackRequest("somebody", 1), g.bench.runs),
    "resume": lambda g: g.resume(),
    "restore": lambda g: restore(g.bench.platform, g.collection, "somebody", g.bench.runs),
}


def done_by_a_process(root: Path, act: str, kill_at: str = "") -> int | None:
    """Do one of ACTS in a process of its own, killed at a failpoint if one is named; returns its exit code."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    child = context.Process(target=_do, args=(root, act, kill_at))
    child.start()
    child.join(PATIENCE)
    return child.exitcode


def _do(root: Path, act: str, kill_at: str) -> None:
    os.environ[VARIABLE] = kill_at
    ACTS[act](Generations(Bench(root, small_catalog())))
