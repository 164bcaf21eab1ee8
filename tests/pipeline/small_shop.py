"""A use case of the small catalog whose predictions are published without a run: for what happens to them afterwards.

Here: the table `latest`, its publication, and what readers get. Not here: how predictions are made (slice.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import dagster as dg
import pyarrow as pa

from serving_assets.catalog.discovery import BoundUseCase, Catalog, load_catalog
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    newest_documents,
    predictions_of,
)
from serving_assets.pipeline.publishing.publisher import Publisher
from serving_assets.settings import Settings
from serving_assets.store import Cause, scan
from tests.unit.catalog.small_catalog import write_catalog

NAME, KEY = "buys_again", "person"
SCORES = {1: 0.1, 2: 0.25, 3: 0.5}


@dataclass(frozen=True)
class SmallShop:
    """A workspace in a folder: settings, declarations, and a Dagster instance."""

    root: Path
    catalog: Catalog

    @classmethod
    def made(cls, root: Path) -> SmallShop:
        """One whose predictions SCORES are published."""
        shop = cls(root, load_catalog(write_catalog(root / "catalog")))
        shop.publish(SCORES)
        return shop

    @cached_property
    def settings(self) -> Settings:
        """Everything under the folder."""
        return Settings(data_dir=self.root / "data", executor="in_process", engine_threads=1)

    @cached_property
    def platform(self) -> Platform:
        """What works on it."""
        return Platform(self.settings, self.catalog)

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions over the folder."""
        return build_defs(self.settings, self.catalog)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """On disk."""
        home = self.root / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        return dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}})

    @property
    def use_case(self) -> BoundUseCase:
        """The only one."""
        return self.catalog.use_cases[NAME]

    @property
    def collection(self) -> PublishedCollection:
        """Its predictions."""
        return predictions_of(self.use_case)

    @property
    def log(self) -> ActivationLog:
        """The lake's log of them."""
        return ActivationLog(self.platform, self.collection)

    def without_use_cases(self) -> SmallShop:
        """The same folder after the folders of all use cases were removed."""
        return SmallShop(self.root, replace(self.catalog, use_cases={}))

    def runs(self) -> dg.DagsterInstance:
        """The instance, as who releases leases asks for it."""
        return self.instance

    def score(self, scores: Mapping[int, float], day: date = date(2017, 5, 31)) -> None:
        """Put predictions into `latest`."""
        rows = [
            {
                KEY: person,
                "score": score,
                "scored_for": day,
                "scored_at": datetime(day.year, day.month, day.day, 3, tzinfo=UTC),
                "run_id": "a run",
                "model_version": "1",
                "features_version": 0,
            }
            for person, score in scores.items()
        ]
        self.platform.lake.table(self.collection.table).replace(pa.Table.from_pylist(rows).to_reader())

    def publish(self, scores: Mapping[int, float] | None = None) -> None:
        """Publish `latest`, with these predictions or as it is."""
        if scores is not None:
            self.score(scores)
        documents = newest_documents(self.collection, self.platform.engine, self.platform.lake)
        Publisher(self.platform, self.collection, "a run", "a run").publish(documents, Cause("publish", "a run"))

    def documents(self) -> dict[int | str, str]:
        """What readers get."""
        return dict(scan(self.platform.store, NAME))
