"""Any number of runs in any order leave the same tables and the same published documents.

Not here: runs that are killed (tests/faults).
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving_assets.local_runner.run_assets import QUIET
from tests.pipeline.slice import DAYS as ALL_DAYS
from tests.pipeline.slice import NAME, Bench, copy_of, small_catalog

DAYS = (date(2017, 4, 14), date(2017, 4, 30), date(2017, 5, 15), date(2017, 5, 31))
EXPIRY = 20
"""Shorter than the way from the second to the last of DAYS, so that entities leave on that way."""
RUNS = ("features", "predictions", "historic", "publish")
VALUES = "household_id, score, model_version, scored_for"


class QuickBench(Bench):
    """A workspace whose Dagster instance lives in memory: a permutation is dozens of runs."""

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Knows of earlier runs only that they made the days that features read."""
        instance = dg.DagsterInstance.ephemeral()
        for day in ALL_DAYS.days():
            made = dg.AssetMaterialization(["mapped", "household_days"], partition=str(day))
            instance.report_runless_asset_event(made)
        return instance

    @property
    def state(self) -> dict[str, object]:
        """All that must not depend on the order."""
        control = self.platform.store.control(NAME)
        assert control is not None
        assert control.published is not None
        return {
            "features": self.rows("features", where=f"day IN {tuple(map(str, DAYS))}"),
            "predictions": self.rows("predictions", where=f"day IN {tuple(map(str, DAYS))}"),
            "latest": self.rows("latest", VALUES),
            "documents": self.documents(),
            "digest": control.published.digest,
        }

    def newest(self) -> dict[object, object]:
        """For which day each entity of latest was scored."""
        return {row["household_id"]: row["scored_for"] for row in self.rows("latest", "household_id, scored_for")}


@pytest.fixture(scope="module")
def scored(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Features and predictions of DAYS, an empty history, nothing published."""
    catalog = small_catalog()
    bound = catalog.use_cases[NAME]
    predictions = bound.spec.predictions.model_copy(update={"expire_after_days": EXPIRY})
    spec = bound.spec.model_copy(update={"predictions": predictions})
    expiring = replace(catalog, use_cases={NAME: replace(bound, spec=spec)})
    bench = copy_of(built, tmp_path_factory.mktemp("scored") / "bench").with_catalog(expiring)
    for day in DAYS:
        assert bench.run("features", "predictions", day=day).success
    return bench


def fresh(scored: Bench, root: Path) -> QuickBench:
    """A copy of the scored days before anything else ran."""
    without = shutil.ignore_patterns("historic", "latest", "publications", "online.*", "landing")
    shutil.copytree(scored.root / "data", root / "data", ignore=without)
    return QuickBench(root, scored.catalog)


@pytest.fixture(scope="module")
def straight(scored: Bench, tmp_path_factory: pytest.TempPathFactory) -> QuickBench:
    """Each day once, in order, published at the end."""
    bench = fresh(scored, tmp_path_factory.mktemp("straight"))
    for day in DAYS:
        assert bench.run("historic", day=day).success
    assert bench.publish().success
    return bench


def history(bench: Bench) -> dict[object, tuple[object, object]]:
    """Runs and rows of each day in the history."""
    counted = "scored_for, count(DISTINCT run_id) AS runs, count(*) AS n"
    found = bench.rows("historic", counted, "true GROUP BY scored_for")
    return {row["scored_for"]: (row["runs"], row["n"]) for row in found}


@st.composite
def orders(draw: st.DrawFn) -> list[tuple[str, date]]:
    """Every day into the history at least once, with further runs anywhere."""
    more = draw(st.lists(st.tuples(st.sampled_from(RUNS), st.sampled_from(DAYS)), max_size=5))
    return draw(st.permutations([*(("historic", day) for day in DAYS), *more]))


@pytest.mark.long
@settings(max_examples=5, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(order=orders())
def test_the_order_of_runs_changes_nothing(scored: Bench, straight: QuickBench, order: list[tuple[str, date]]) -> None:
    """Whatever ran when and how often: the same tables and documents, every run kept, no entity ever older."""
    with tempfile.TemporaryDirectory() as folder:
        bench = fresh(scored, Path(folder))
        ran, before = Counter[date](), dict[object, object]()
        for run, day in [*order, ("publish", DAYS[0])]:
            if run == "publish" and not ran:
                continue
            outcome = bench.publish() if run == "publish" else bench.run(run, day=day)
            assert outcome.success, outcome.failures
            if run == "historic":
                ran[day] += 1
            if run == "publish":
                after = bench.newest()
                assert all(after[key] >= before[key] for key in after.keys() & before.keys())
                before = after
        assert bench.state == straight.state
        kept, once = history(bench), history(straight)
        assert kept == {day: (ran[day], ran[day] * once[day][1]) for day in DAYS}


def test_who_is_scored_no_more_leaves(scored: Bench, straight: QuickBench) -> None:
    """An entity with no prediction of the last EXPIRY days is neither in latest nor published; every other one is."""
    newest = {
        row["household_id"]: row["day"]
        for row in scored.rows("predictions", "household_id, max(day) AS day", "true GROUP BY 1")
    }
    left = {household for household, day in newest.items() if (DAYS[-1] - day).days >= EXPIRY}
    assert left
    assert straight.newest() == {household: day for household, day in newest.items() if household not in left}
    assert set(straight.documents()) == newest.keys() - left


def test_a_retried_run_replaces_its_own_rows(scored: Bench, tmp_path: Path) -> None:
    """The history holds the rows of a run and of its retry once, those of the retry, and latest follows."""
    bench = fresh(scored, tmp_path)
    assert bench.run("historic", day=DAYS[0]).success
    first = bench.run("historic", day=DAYS[1])
    assert bench.publish().success
    before = bench.rows("historic")
    retry(bench, first.run_id)
    after = bench.rows("historic")
    assert [row["scored_at"] for row in after] != [row["scored_at"] for row in before]
    assert [{**row, "scored_at": None} for row in after] == [{**row, "scored_at": None} for row in before]
    assert bench.publish().success
    newest = {row["scored_at"] for row in bench.rows("latest", where=f"scored_for = DATE '{DAYS[1]}'")}
    assert newest == {row["scored_at"] for row in after if row["run_id"] == first.run_id}


def retry(bench: Bench, run_id: str) -> None:
    """What the daemon does after a run's worker was lost: the same run again, with the first one as its root."""
    run = bench.instance.get_run_by_id(run_id)
    assert run is not None
    job = bench.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=run.asset_selection)
    again = bench.instance.create_run_for_job(
        job,
        parent_run_id=run_id,
        root_run_id=run_id,
        tags=run.tags,
        run_config=QUIET,
        asset_selection=run.asset_selection,
    )
    assert execute_run(InMemoryJob(job), again, bench.instance).success


def test_late_history_does_not_move_latest_back(scored: Bench, tmp_path: Path) -> None:
    """A backfilled older day is kept in the history and changes nothing that is served."""
    bench = fresh(scored, tmp_path)
    for day in DAYS[2:]:
        assert bench.run("historic", day=day).success
    assert bench.publish().success
    before, documents = bench.rows("latest"), bench.documents()
    for day in DAYS[:2]:
        assert bench.run("historic", day=day).success
    assert bench.publish().success
    assert (bench.rows("latest"), bench.documents()) == (before, documents)
    assert len({row["scored_for"] for row in bench.rows("historic")}) == len(DAYS)
