"""What every stage works with: the settings, the catalog, and what is opened from them.

Here: opening each part once a process, at its first use. Not here: the parts themselves.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from serving_assets.catalog.compute import DEFAULT_ENGINE, Compute
from serving_assets.catalog.discovery import Catalog
from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Engine, Limits
from serving_assets.lake import Lake
from serving_assets.pipeline.days import daily_partitions
from serving_assets.settings import Settings

if TYPE_CHECKING:
    from serving_assets.models.lifecycle.registry import Registry
    from serving_assets.store import OnlineStore


class Platform:
    """The opened parts of one process. Opening is lazy: loading the definitions touches neither disk nor server."""

    def __init__(self, settings: Settings, catalog: Catalog, engine: str = DEFAULT_ENGINE) -> None:
        self.settings, self.catalog, self._engine = settings, catalog, engine

    def within(self, compute: Compute) -> Platform:
        """The same parts with the declared engine, bounded as declared; itself where nothing is declared."""
        bounds = {"engine_threads": compute.threads, "engine_memory": compute.memory}
        stated = {name: value for name, value in bounds.items() if value is not None}
        if not stated and compute.engine == self._engine:
            return self
        return Platform(self.settings.model_copy(update=stated), self.catalog, compute.engine)

    @cached_property
    def lake(self) -> Lake:
        """The lake's tables."""
        return Lake(self.settings.lake)

    @cached_property
    def engine(self) -> Engine:
        """The engine on which the stages run."""
        s = self.settings
        limits = Limits(s.engine_threads, s.engine_memory, s.scratch_dir, s.batch_rows)
        return open_engine(self._engine, limits)

    @cached_property
    def registry(self) -> Registry:
        """The model registry."""
        from serving_assets.models.lifecycle.registry import Registry

        s = self.settings
        return Registry(s.tracking_uri, s.mlflow_dir / "artifacts", s.bundles_dir)

    @cached_property
    def store(self) -> OnlineStore:
        """The online store."""
        from serving_assets.store import open_store

        return open_store(self.settings.store, self.settings.mongodb)

    def partitions(self, timezone: str) -> dg.DailyPartitionsDefinition:
        """The daily partitions of every table that follows `timezone`."""
        first: date | None = self.settings.first_day
        return daily_partitions(self.catalog, timezone, first)
