"""A workspace in a folder of its own: a grown population, a model trained on the real one, and daily runs.

Here: what is run, through Dagster and the stages as they are. Not here: the growing (population.py), the floors
(floors.py), or the tables that are printed (tables.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.population import Population
from serving_assets.catalog.discovery import BoundUseCase, Catalog, load_catalog
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.lake import DayRange, LakeTable, Where
from serving_assets.local_runner.run_assets import run_assets
from serving_assets.pipeline.asset_keys import DAILY_STAGES, TRAINING_STAGES, stage_keys, upstream_tables
from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from serving_assets.pipeline.dagster_instance.step_metadata import Cost, measured
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import PROJECT, Settings

NAME = "purchase_propensity"
NEWEST = date(2017, 12, 30)
STAGES = ("raw", "mapped", *DAILY_STAGES)
REAL_YEAR = DayRange(date(2017, 1, 1), NEWEST)


@dataclass(frozen=True)
class Stage:
    """What one stage of one daily run took.

    `whole` is the run of the stage: its write, its checks and Dagster; `write` is what the assets tell of their writes.
    """

    name: str
    rows: int
    whole: Cost
    write: Cost
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Workspace:
    """Everything below `root`; opened again by the processes that measure floors.

    Args:
        root: folder of the lake, the landing zone, the store, the model registry and the Dagster instance.
        days: how many days of history there are, up to `NEWEST`.
        lake: folder of the tables, `root / "lake"` by default.
    """

    def __init__(self, root: Path, days: int, lake: Path | None = None) -> None:
        self.root, self.days = root, days
        self.history = DayRange(NEWEST - timedelta(days=days - 1), NEWEST)
        self._lake = lake or root / "lake"

    @cached_property
    def settings(self) -> Settings:
        """The defaults of the project, in one process."""
        return Settings(
            data_dir=self.root, lake_uri=str(self._lake), executor="in_process", first_day=self.history.first
        )

    @cached_property
    def catalog(self) -> Catalog:
        """The shipped catalog; its model learns from few days, because only its cost counts here, which is the same."""
        catalog = load_catalog(PROJECT / "serving_assets" / "catalog")
        bound = catalog.use_case(NAME)
        model = bound.spec.model.model_copy(update={"as_ofs": 8, "holdout": 2})
        promote = model.promote_if.model_copy(update={"beats_baselines": False, "max_calibration_error": 0.5})
        spec = bound.spec.model_copy(update={"model": model.model_copy(update={"promote_if": promote})})
        return replace(catalog, use_cases={NAME: replace(bound, spec=spec)})

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions over this folder."""
        return build_defs(self.settings, self.catalog)

    @cached_property
    def platform(self) -> Platform:
        """What the stages work with."""
        found = (self.defs.resources or {})["platform"]
        assert isinstance(found, Platform)
        return found

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """A Dagster instance on disk, as a workspace has it."""
        home = self.root / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        return open_instance(home)

    @property
    def use_case(self) -> BoundUseCase:
        """The shipped use case."""
        return self.catalog.use_case(NAME)

    def table(self, stage: str) -> LakeTable:
        """One of the use case's tables."""
        return self.platform.lake.table(self.use_case.lake_name(stage))

    def grow(self, population: Population, runs: Sequence[date]) -> None:
        """History up to the day before the first of `runs`, and landed files for `runs`."""
        population.land(self.settings.landing, runs)
        past = [day for day in self.history.days() if day < runs[0]]
        population.write_history(self.platform.lake.table("mapped/household_days"), past, self.settings.batch_rows)
        daily = [key for key in self._keys("raw", "mapped") if self.catalog.tables[key.path[-1]].daily]
        self._report([*daily, *stage_keys(self.use_case, ("features", "predictions", "historic"))], past)

    def train(self, population: Population) -> None:
        """A champion, from the real households and their real days."""
        real = Workspace(self.root, len(REAL_YEAR), self.root / "real_lake")
        population.write_real(real.platform.lake)
        real._report([dg.AssetKey(["mapped", "household_days"])], REAL_YEAR.days())
        outcome = run_assets(real.defs, real.instance, stage_keys(self.use_case, TRAINING_STAGES))
        assert outcome.success, outcome.failures

    def run(self, stage: str, day: date) -> Stage:
        """Run one stage for `day`, measured from outside."""
        with measured() as whole:
            outcome = run_assets(self.defs, self.instance, self._keys(stage), day)
        assert outcome.success, outcome.failures
        facts = {made.asset: made.numbers for made in outcome.made}
        told = facts.values()
        write = Cost(
            sum(numbers["seconds"] for numbers in told),
            sum(numbers["cpu_seconds"] for numbers in told),
            max(numbers["peak_memory_mib"] for numbers in told),
        )
        whole.peak_memory_mib = max(whole.peak_memory_mib, write.peak_memory_mib)
        return Stage(stage, sum(numbers["rows"] for numbers in told), whole, write, facts)

    def run_day(self, day: date) -> list[Stage]:
        """One daily run, stage by stage."""
        return [self.run(stage, day) for stage in STAGES]

    def backdate(self, day: date) -> None:
        """Give every daily table that grows a partition and a commit for each day before `day`, made of `day`'s rows.

        Full size in `historic`, which `latest` merges; a single row elsewhere, because a daily run reads nothing of
        them but their log.
        """
        past = [d for d in self.history.days() if d < day]
        for name in ("raw/transactions", "raw/coupon_redemptions", "mapped/baskets"):
            self._repeat(self.platform.lake.table(name), DAY, day, past, "LIMIT 1")
        for stage in ("features", "predictions"):
            self._repeat(self.table(stage), DAY, day, past, "LIMIT 1")
        self._repeat(self.table("historic"), "scored_for", day, past, "")

    def unpublish(self) -> None:
        """Remove the online store, so that the next publish is the first one."""
        self.platform.store.close()
        for file in self.root.glob("online.db*"):
            file.unlink()

    def _repeat(self, table: LakeTable, column: str, day: date, past: Iterable[date], limit: str) -> None:
        rows = {"t": Input(table.scan({column: day}))}
        of_runs = "run_id" in table.at().partition_columns
        for earlier in past:
            replaced = f"DATE '{earlier}' AS {column}"
            where: Where = {column: earlier}
            by: tuple[str, ...] = (column,)
            if of_runs:
                before = f"scored_at - to_days({(day - earlier).days}) AS scored_at"
                replaced += f", '{earlier}' AS run_id, {before}"
                where, by = {**where, "run_id": str(earlier)}, (column, "run_id")
            query = Query(f"SELECT * REPLACE ({replaced}) FROM t {limit}", rows)
            self.platform.engine.transform([query], Target(table, where, by))

    def _keys(self, *stages: str) -> list[dg.AssetKey]:
        tables = upstream_tables(self.catalog, self.use_case)
        return [key for key in tables if key.path[0] in stages] + stage_keys(
            self.use_case, (stage for stage in stages if stage in DAILY_STAGES)
        )

    def _report(self, keys: Iterable[dg.AssetKey], days: Iterable[date]) -> None:
        listed = list(days)
        for key in keys:
            for day in listed:
                self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=str(day)))
