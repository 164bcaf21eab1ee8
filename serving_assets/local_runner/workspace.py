"""What a command stands on: definitions and the Dagster instance of this workspace.

Here: opening them when first needed. Not here: any command, or its screen (commands/).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.events import plain_numbers
from serving_assets.pipeline.dagster_instance.processes import settle_dead_runs
from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import PROJECT


@dataclass(frozen=True)
class Workspace:
    """This process's definitions and instance."""

    @cached_property
    def defs(self) -> dg.Definitions:
        """The Dagster definitions of the settings' catalog."""
        return build_defs()

    @property
    def platform(self) -> Platform:
        """What the stages work with."""
        platform = (self.defs.resources or {})["platform"]
        assert isinstance(platform, Platform)
        return platform

    @property
    def catalog(self) -> Catalog:
        """The declarations."""
        return self.platform.catalog

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The instance in DAGSTER_HOME, by default the project's own, so that the UI shows what commands ran.

        Raises:
            InputError: when DAGSTER_HOME is no folder.
        """
        home = Path(os.environ.setdefault("DAGSTER_HOME", str(PROJECT / "dagster_home")))
        if not home.is_absolute() or not home.is_dir():
            raise InputError(
                f"DAGSTER_HOME is {home}, which is no absolute path of a folder.",
                hint=f"Create it with a copy of {PROJECT / 'dagster_home' / 'dagster.yaml'}, or unset DAGSTER_HOME.",
            )
        logging.getLogger("dagster").setLevel(logging.ERROR)
        instance = open_instance(home)
        settle_dead_runs(instance)
        return instance

    @property
    def view(self) -> DagsterView:
        """The instance as automation asks it."""
        return DagsterView(self.instance)

    def newest_numbers(self, asset: str) -> dict[str, Any]:
        """Return the numbers of the newest materialization of an asset such as `churn/model`; empty if none."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
        found = event.asset_materialization if event else None
        return plain_numbers(found) if found else {}

    def some_entities(self, use_case: BoundUseCase, count: int) -> list[int | str]:
        """Return keys of a few entities with a published prediction, always the same ones."""
        key = use_case.spec.entity.key
        latest = Input(self.platform.lake.table(use_case.lake_name("latest")).scan())
        query = Query(
            f'SELECT "{key}" AS id FROM latest ORDER BY scored_for DESC, hash("{key}") LIMIT {count}',
            {"latest": latest},
        )
        return list(self.platform.engine.collect(query).column("id").to_pylist())
