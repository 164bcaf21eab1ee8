"""A workspace whose only table is `latest`, of any size, and publishes of it by the stage `online` as it is.

Here: growing the table, changing a share of it, and one publish, measured. Not here: the command (publish.py), the
store's server, or what others need for the same rows (publishing_floors.py, rivals/).
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import duckdb

from serving_assets.catalog.discovery import BoundUseCase, load_catalog
from serving_assets.lake import LakeTable
from serving_assets.local_runner.run_assets import run_assets
from serving_assets.pipeline.dagster_instance.step_metadata import Cost, measured
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import PROJECT, Settings

NAME = "purchase_propensity"
R = TypeVar("R")
FIRST = date(2017, 11, 1)
PARTS = 10_000
"""Shares are told to one in so many."""


@dataclass(frozen=True)
class Publish:
    """What one run of the stage took: `write` is the publish until readers see it, `whole` its parity check too."""

    whole: Cost
    write: Cost
    facts: Mapping[str, Any]


class World:
    """Everything below `root`; opened again by each process that publishes.

    Args:
        root: folder of the lake and the Dagster instance.
        mongodb_uri: the store; a SQLite file below `root` when empty.
    """

    def __init__(self, root: Path, mongodb_uri: str) -> None:
        self.root, self.mongodb_uri = root, mongodb_uri

    @cached_property
    def settings(self) -> Settings:
        """The defaults of the project, in one process."""
        return Settings.model_validate(
            {"data_dir": self.root, "executor": "in_process", "first_day": FIRST, "mongodb_uri": self.mongodb_uri}
        )

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions over this folder."""
        return build_defs(self.settings, load_catalog(PROJECT / "serving_assets" / "catalog"))

    @cached_property
    def platform(self) -> Platform:
        """What the stage works with."""
        found = (self.defs.resources or {})["platform"]
        assert isinstance(found, Platform)
        return found

    @property
    def use_case(self) -> BoundUseCase:
        """The shipped use case."""
        return self.platform.catalog.use_case(NAME)

    @property
    def latest(self) -> LakeTable:
        """The table that is published."""
        return self.platform.lake.table(self.use_case.lake_name("latest"))

    def write_latest(self, entities: int, day: int, shares: tuple[float, ...]) -> None:
        """Predictions of `entities` for a day, counted from `FIRST`.

        Each of `shares` is a day on which that share of the entities, drawn anew, got another score.
        """
        score = "hash(i, 'first')"
        for number, share in enumerate(shares):
            drawn = f"hash(i, {number}, 'drawn') % {PARTS} < {round(share * PARTS)}"
            score = f"CASE WHEN {drawn} THEN hash(i, {number}, 'score') ELSE {score} END"
        scored_for = FIRST + timedelta(days=day)
        with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
            rows = connection.sql(f"""
                SELECT i + 1 AS household_id, ({score}) % {PARTS} / {PARTS}.0::DOUBLE AS score, '1' AS model_version,
                       DATE '{scored_for}' AS scored_for, TIMESTAMPTZ '{scored_for + timedelta(days=1)} 10:00:00+00'
                       AS scored_at, 'run-{day}' AS run_id, {day}::BIGINT AS features_version
                FROM range({entities}) AS t(i)
            """)
            self.latest.replace(rows.to_arrow_reader())

    def publish(self) -> Publish:
        """Run the stage `online` with its checks."""
        home = self.root / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        with dg.DagsterInstance.local_temp(str(home)) as instance, measured() as whole:
            outcome = run_assets(self.defs, instance, [dg.AssetKey([NAME, "online"])])
        assert outcome.success, outcome.failures
        (made,) = outcome.made
        numbers = made.numbers
        write = Cost(numbers["seconds"], numbers["cpu_seconds"], numbers["peak_memory_mib"])
        whole.peak_memory_mib = max(whole.peak_memory_mib, write.peak_memory_mib)
        return Publish(whole, write, numbers)


def apart(work: Callable[..., R], *args: object) -> R:
    """Do `work` in a new process, so that CPU and memory are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet) as pool:
        return pool.submit(work, *args).result()


def _quiet() -> None:
    warnings.simplefilter("ignore")
