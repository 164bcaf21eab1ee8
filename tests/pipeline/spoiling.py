"""How tables, models and stores are spoilt, for the tests of what then stops.

Not here: the tests (test_gates.py).
"""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta

import duckdb
import numpy as np

from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.models.bundle import stamp, write_bundle
from serving_assets.models.estimator import pickled
from serving_assets.pipeline.asset_keys import upstream_tables
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import DAY, NAME, Bench, small_catalog


class Wild:
    """A model gone wild: gives `value` for every third row, and otherwise a half."""

    classes_ = np.array([0.0, 1.0])

    def __init__(self, value: float) -> None:
        self.value = value

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """(rows, 2)."""
        scores = np.where(np.arange(len(features)) % 3 == 0, self.value, 0.5)
        return np.column_stack([1 - scores, scores])


def spoil_lines(bench: Bench, every: int) -> None:
    """A negative amount in one of `every` lines of DAY's transactions."""
    replace_lines(bench, f"CASE WHEN rowid % {every} = 0 THEN -1 ELSE sales_value END AS sales_value")


def replace_lines(bench: Bench, expression: str) -> None:
    """Deliver DAY's transactions again with a column replaced."""
    file = bench.landed("transactions")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE lines AS FROM read_parquet('{file}', hive_partitioning = false)")
        connection.execute(f"COPY (SELECT * REPLACE ({expression}) FROM lines) TO '{file}' (FORMAT parquet)")


def split_baskets(bench: Bench) -> None:
    """Let the lines of a basket come from two stores, so that mapping it gives two rows of one key."""
    replace_lines(bench, "CASE WHEN rowid % 2 = 0 THEN store_id + 1000 ELSE store_id END AS store_id")


def spend_infinitely(bench: Bench) -> None:
    """Amounts that no till knows, for 20 households of DAY."""
    some = "household_id IN (SELECT household_id FROM t ORDER BY household_id LIMIT 20)"
    spend = f"CASE WHEN {some} THEN CAST('inf' AS DOUBLE) ELSE spend END AS spend"
    bench.rewrite("mapped/household_days", f"SELECT * REPLACE ({spend}) FROM t", {"day": DAY})


def go_wild(bench: Bench, value: float) -> None:
    """Let the champion's bundle hold a wild model."""
    bundle = bench.platform.registry.bundle(NAME, "1")
    shutil.rmtree(bundle.path)
    described = {"signature": bundle.signature, "profile": bundle.profile, "parity": None}
    write_bundle(bundle.path, name=NAME, form="original", reason="a test", model=pickled(Wild(value)), **described)
    stamp(bundle.path, "1")


def score_anew(bench: Bench) -> None:
    """Give latest something to merge."""
    assert bench.score().success


def forget_history(bench: Bench) -> None:
    """Have a history of two days, published, and lose the newer one."""
    assert bench.score(DAY - timedelta(days=1)).success
    assert bench.publish().success
    bench.rewrite(f"{NAME}/historic", "FROM t LIMIT 0", {"scored_for": DAY})


def alter_latest(bench: Bench) -> None:
    """Change scores of latest behind the back of the history."""
    table = bench.platform.lake.table(f"{NAME}/latest")
    half = "SELECT * REPLACE (CASE WHEN household_id % 8 = 0 THEN score / 2 ELSE score END AS score) FROM t"
    bench.rewrite(f"{NAME}/latest", half, metadata=table.commit_metadata())


def alter_documents(bench: Bench) -> None:
    """Change 12 documents, remove one and add one in the store's file, behind the protocol's back."""
    with sqlite3.connect(bench.settings.store.removeprefix("sqlite:///")) as connection:
        ids = [row[0] for row in connection.execute("SELECT entity FROM documents ORDER BY entity LIMIT 13")]
        few = f"IN ({', '.join(map(str, ids[:12]))})"
        connection.execute(f"UPDATE documents SET cur = replace(cur, 'score', 'scored') WHERE entity {few}")
        connection.execute("INSERT INTO documents SELECT collection, -1, cur_g, cur, NULL, NULL FROM documents LIMIT 1")
        connection.execute("DELETE FROM documents WHERE entity = ?", ids[12:])


def lose_entities(bench: Bench) -> Bench:
    """The same workspace with a features.sql that loses whoever is not in the customer database."""
    root = bench.root / "catalog"
    shutil.copytree(FIXTURE_CATALOG, root)
    sql = root / "use_cases" / NAME / "features.sql"
    sql.write_text(sql.read_text().replace("LEFT JOIN households ON", "JOIN households ON"))
    return bench.with_catalog(small_catalog(root))


def tables_of_day(bench: Bench) -> Outcome:
    """Raw and mapped tables of DAY."""
    return run_assets(bench.defs, bench.instance, upstream_tables(bench.catalog, bench.use_case), DAY)


def tables_again(bench: Bench, built: Bench) -> None:
    """Deliver what was delivered at first, and take it in."""
    shutil.copy(built.landed("transactions"), bench.landed("transactions"))
    assert tables_of_day(bench).success
