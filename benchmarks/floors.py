"""The floors: what the machine needs for the unavoidable part of a stage, measured beside it, in a process of its own.

Here: one function a floor, with why it is one. Not here: the stages (workspace.py).
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.workspace import NAME, Workspace
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query
from serving_assets.pipeline.stages.features import features_query

INSERTS = 10_000
"""Documents of one transaction, as many as a publish writes in one."""


@dataclass(frozen=True)
class Floor:
    """Seconds and CPU-seconds for `rows` rows."""

    rows: int
    seconds: float
    cpu_seconds: float


def scanning(root: Path, days: int, day: date) -> Floor:
    """DuckDB reads every value that the features are made of, and adds it up: no grouping, no writing.

    A sum is the cheapest thing that needs each value: a count is answered from the number of nulls, a minimum from the
    statistics of the files.
    """
    workspace = Workspace(root, days)
    query = features_query(workspace.use_case, workspace.platform, day)
    read = {origin for origins in workspace.use_case.feature_lineage.values() for origin in origins}
    began, cpu = time.perf_counter(), time.process_time()
    rows = 0
    for name, source in query.inputs.items():
        dtypes = workspace.catalog.tables[name].schema
        dated = ("date", "timestamp")
        sums = [
            f"max({column})" if dtypes[column] in dated else f"sum({column})" for table, column in read if table == name
        ]
        scan = Query(f"SELECT count(*) AS n, {', '.join(sums)} FROM {name}", {name: source}, timezone=query.timezone)
        rows += workspace.platform.engine.collect(scan).column("n")[0].as_py()
    return Floor(rows, time.perf_counter() - began, time.process_time() - cpu)


def bare_scoring(root: Path, days: int, day: date) -> Floor:
    """The scorer alone, over feature rows that are in memory already, in batches of the same size."""
    workspace = Workspace(root, days)
    p = workspace.platform
    scorer = p.registry.bundle(NAME, p.registry.serving_champion(NAME)).scorer(threads=p.settings.engine_threads)
    features = Input(workspace.table("features").scan({DAY: day}))
    batches = list(p.engine.stream(Query("FROM features", {"features": features})))
    scorer.score(batches[0])
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        scorer.score(batch)
    return Floor(sum(batch.num_rows for batch in batches), time.perf_counter() - began, time.process_time() - cpu)


def bare_inserts(root: Path, days: int, _day: date) -> Floor:
    """SQLite inserts the documents that the last publish wrote, finished, into an empty table of the same columns.

    In the order of their keys and with the store's settings: a write-ahead log, transactions of as many documents.
    """
    with closing(sqlite3.connect(root / "online.db")) as store:
        (layout,) = store.execute("SELECT sql FROM sqlite_master WHERE name = 'documents'").fetchone()
        rows = store.execute(
            "SELECT * FROM documents WHERE cur_g = (SELECT max(cur_g) FROM documents) ORDER BY collection, entity"
        ).fetchall()
    insert = f"INSERT INTO documents VALUES ({', '.join('?' * len(rows[0]))})"
    with closing(sqlite3.connect(root / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = NORMAL")
        bare.execute(layout)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(rows), INSERTS):
            bare.execute("BEGIN")
            bare.executemany(insert, rows[start : start + INSERTS])
            bare.execute("COMMIT")
        took = Floor(len(rows), time.perf_counter() - began, time.process_time() - cpu)
    for leftover in root.glob("bare.db*"):
        leftover.unlink()
    return took
