"""A workspace over the real data as `make demo` leaves it: every household, days that end yesterday, both use cases.

Here: making one in seconds, of fewer days and with models trained on fewer of them. Not here: what is expected of it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from serving_assets.catalog.discovery import Catalog, load_catalog
from serving_assets.demo import DAILY, SNAPSHOTS, land
from serving_assets.lake import DayRange
from serving_assets.settings import Settings
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import NAME, Bench

FALLBACK = "basket_propensity"
CATALOG = FIXTURE_CATALOG
WINDOW = 91
AS_OFS = {NAME: (3, 1), FALLBACK: (8, 2)}
"""Days that are looked back from, and how many of them are held out: the newest, which both have."""


@dataclass(frozen=True)
class RealBench(Bench):
    """A Bench over days near today; `mongodb` and `database` name a store to use instead of the embedded one."""

    first: date = date.min
    mongodb: str = ""
    database: str = ""

    @cached_property
    def settings(self) -> Settings:
        """In-process, everything under the folder."""
        return Settings(
            data_dir=self.root / "data",
            executor="in_process",
            engine_threads=2,
            first_day=self.first,
            mongodb_uri=SecretStr(self.mongodb),
            mongodb_database=self.database,
        )

    def copied(self, root: Path, mongodb: str = "", database: str = "") -> RealBench:
        """The same workspace in another folder, to be changed freely."""
        shutil.copytree(self.root, root)
        return replace(self, root=root, mongodb=mongodb, database=database)

    def arrive(self, days: DayRange) -> None:
        """Days that upstream delivers, as raw and mapped tables."""
        land(self.settings.landing, days.first, days.last, sources=(*SNAPSHOTS, *DAILY))
        for outcome in self.tables(days):
            assert outcome.success, outcome.failures

    def score_and_publish(self, day: date) -> None:
        """A day, from its tables to what readers get."""
        outcome = self.score(day)
        assert outcome.success, outcome.failures
        self.publish_all()

    def publish_all(self) -> None:
        """What readers get of the predictions, and the stored features."""
        outcome = self.run("latest", "online", "online_features", day=None)
        assert outcome.success, outcome.failures


def make(root: Path) -> RealBench:
    """A workspace up to the day before yesterday: tables, two champions, one published day."""
    newest = yesterday() - timedelta(days=1)
    (as_ofs, _), spec = AS_OFS[NAME], load_catalog(CATALOG).use_cases[NAME].spec
    span = WINDOW + spec.labels.horizon_days + spec.model.every_days * as_ofs
    days = DayRange(newest - timedelta(days=span), newest)
    bench = RealBench(root, quickly_trained(), first=days.first)
    bench.arrive(days)
    for name in (FALLBACK, NAME):
        trained = replace(bench, name=name).train()
        assert trained.success, trained.failures
    bench.score_and_publish(newest)
    return bench


def yesterday() -> date:
    """The newest day that has ended where the shops are."""
    return datetime.now(ZoneInfo("America/New_York")).date() - timedelta(days=1)


def quickly_trained() -> Catalog:
    """The shipped catalog, its models trained on few days and promoted whatever they are worth."""
    catalog = load_catalog(CATALOG)
    changed = {}
    for name, bound in catalog.use_cases.items():
        as_ofs, holdout = AS_OFS.get(name, (3, 1))
        promote = bound.spec.model.promote_if.model_copy(
            update={"beats_baselines": False, "max_calibration_error": 1.0}
        )
        model = bound.spec.model.model_copy(update={"as_ofs": as_ofs, "holdout": holdout, "promote_if": promote})
        changed[name] = replace(bound, spec=bound.spec.model_copy(update={"model": model}))
    return replace(catalog, use_cases=changed)
