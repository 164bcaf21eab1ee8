"""A shop over the small catalog whose instance and landing zone are entries of the test: automation in milliseconds.

Here: entering what was delivered, made and run. Not here: ticks of real sensors over real tables (ticks.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, load_catalog
from serving_assets.lake import DayRange
from serving_assets.pipeline.automation import catch_up_sensor
from serving_assets.pipeline.dagster_instance.runs import RunSummary
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings
from tests.pipeline.fake_instance import FakeInstance
from tests.unit.catalog.small_catalog import USE_CASE, write_catalog

NAME = "buys_again"
DAYS = DayRange(date(2017, 1, 1), date(2017, 5, 31))
DAY = DAYS.last
TABLES = ("raw/sales", "mapped/person_days")
SNAPSHOTS = ("raw/people", "mapped/towns")


@dataclass
class Automated:
    """All tables of DAYS, a champion, and predictions of DAY that are published."""

    root: Path
    view: FakeInstance = field(default_factory=FakeInstance)

    def __post_init__(self) -> None:
        declared = USE_CASE.rstrip().removesuffix(")") + '    deadline="07:00",\n)\n'
        catalog = write_catalog(self.root / "catalog", {f"use_cases/{NAME}/use_case.py": declared})
        self.platform = Platform(Settings(data_dir=self.root / "data"), load_catalog(catalog))
        for day in DAYS.days():
            self.deliver(day)
        for table in TABLES:
            self.view.materialize(table, *DAYS.days())
        for asset in (*SNAPSHOTS, f"{NAME}/champion"):
            self.view.materialize(asset)
        for stage in ("features", "predictions", "historic"):
            self.view.materialize(f"{NAME}/{stage}", DAY)
        for stage in ("latest", "online"):
            self.view.materialize(f"{NAME}/{stage}")

    @property
    def use_case(self) -> BoundUseCase:
        """The only one."""
        return self.platform.catalog.use_cases[NAME]

    def deliver(self, day: date) -> None:
        """A file of the daily source lands."""
        folder = self.platform.settings.landing / "sales" / f"dt={day}"
        folder.mkdir(parents=True)
        (folder / "sales.parquet").write_bytes(b"unread")

    def catch_up(self, now: datetime) -> tuple[list[dg.RunRequest], str]:
        """One tick of the sensor that catches up: its requests, and what it reports."""
        return catch_up_sensor.evaluate(self.view, self.platform, self.use_case, now)

    def launch(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> RunSummary:
        """A run of the request that has come as far as `status`."""
        tags = {**request.tags, **({"dagster/partition": request.partition_key} if request.partition_key else {})}
        return self.view.run(status, tags, request.asset_selection or ())


def asked(requests: Iterable[dg.RunRequest]) -> list[tuple[str | None, list[str]]]:
    """Day and assets of requests, those of the use case without its name."""
    return [(request.partition_key, sorted(map(_short, request.asset_selection or ()))) for request in requests]


def _short(key: dg.AssetKey) -> str:
    return key.to_user_string().removeprefix(f"{NAME}/")
