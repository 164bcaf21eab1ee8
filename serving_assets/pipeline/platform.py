"""What every stage works with: the settings, the catalog, and what is opened from them.

Here: opening each part once a process, at its first use. Not here: the parts themselves.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from serving_assets.catalog.compute import DEFAULT_ENGINE, Compute
from serving_assets.catalog.discovery import BoundUseCase, Catalog
from serving_assets.catalog.spec import Domain
from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Engine, Limits
from serving_assets.lake import Lake
from serving_assets.pipeline.days import daily_partitions
from serving_assets.settings import Settings, origin

if TYPE_CHECKING:
    from serving_assets.models.lifecycle.registry import Registry
    from serving_assets.store import OnlineStore


class Platform:
    """The opened parts of one process. Opening is lazy: loading the definitions touches neither disk nor server."""

    def __init__(self, settings: Settings, catalog: Catalog, engine: str = DEFAULT_ENGINE) -> None:
        self.settings, self.catalog, self._engine = settings, catalog, engine

    def within(self, compute: Compute) -> Platform:
        """Return the same parts with the declared engine, bounded as declared; itself where nothing is declared."""
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
        """Return the daily partitions of every table that follows `timezone`."""
        domains = [domain for domain in self.catalog.domains.values() if domain.timezone == timezone]
        return daily_partitions(timezone, map(self.first_day, domains))

    def first_day(self, domain: Domain) -> date:
        """Return the first day of a domain's tables: as the settings say, or as it declares."""
        named: date | None = self.settings.first_days.get(domain.name)
        return self.settings.first_day or named or domain.first_day

    def first_day_of(self, use_case: BoundUseCase) -> date:
        """Return the first day on which every domain has begun whose tables the use case reads."""
        return self.first_day(self._last_to_begin(use_case))

    def first_day_is_set_by(self, use_case: BoundUseCase) -> str:
        """Return what sets that day: a setting with its place, or the file of a domain."""
        domain = self._last_to_begin(use_case)
        if self.settings.first_day:
            return f"set by {origin('FIRST_DAY')}"
        if domain.name in self.settings.first_days:
            return f"set by {origin('FIRST_DAYS')}"
        file = next(table.path for table in self.catalog.tables.values() if table.domain.name == domain.name)
        return f"declared in {file}"

    def _last_to_begin(self, use_case: BoundUseCase) -> Domain:
        tables = [self.catalog.tables[n] for n in (*use_case.spec.features.inputs, *use_case.spec.labels.inputs)]
        domains = [table.domain for table in tables if table.daily] or [use_case.domain]
        return max(domains, key=self.first_day)
