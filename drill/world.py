"""The workspace of the drill: a copy of the demo's, what upstream delivers to it, and the commands of who fixes it.

Here: files and commands. Not here: the processes that live on it (processes.py), or what is done wrong (faults).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from drill.calendar import at, newest_of_demo
from drill.clock import Clock
from drill.undisturbed import FILE
from serving_assets.demo import DAILY
from serving_assets.settings import PROJECT

COMMAND = [sys.executable, "-c", "from serving_assets.cli import app; app()"]
NAME = "purchase_propensity"
PATIENCE = 1800


@dataclass(frozen=True)
class World:
    """Everything below `root`.

    Attributes:
        change: the day on which the clocks go back, the last day but one of the drill.
    """

    root: Path
    clock: Clock
    change: date

    @property
    def first(self) -> date:
        """The first day that the demo does not have."""
        return newest_of_demo(self.change) + timedelta(days=1)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of every process on the workspace."""
        return {
            "DATA_DIR": str(self.root / "data"),
            "DAGSTER_HOME": str(self.root / "dagster"),
            "EXECUTOR": "in_process",  # a run is one process and not eleven: two cores have enough to do
            "MONGODB_TIMEOUT_SECONDS": "10",
            "DO_NOT_TRACK": "true",
            "COLUMNS": "120",
        }

    def build(self, demo: Path | None) -> None:
        """The demo on the day before the drill, or a copy of one that was built for it, and what is right on each day.

        Raises:
            subprocess.CalledProcessError: the demo fails.
        """
        home = self.root / "dagster"
        if demo is not None:
            shutil.copytree(demo, self.root, dirs_exist_ok=True)
        else:
            home.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / "dagster_home" / "dagster.yaml", home)
            self._run([*COMMAND, "demo"])
        twin = self.root / "undisturbed"
        if not (twin / FILE).exists():
            for part in ("data", "dagster"):
                shutil.copytree(self.root / part, twin / part)
            later = Clock(self.root / "undisturbed.clock")
            later.set(at(self.change + timedelta(days=2), "00:00"), self.clock.real())
            command = [sys.executable, "-m", "drill.undisturbed", str(twin), str(self.first), str(self.change)]
            self._run(command, {"DRILL_CLOCK": str(later.file), "DATA_DIR": str(twin / "data")})

    def deliver(self, day: date, sources: Mapping[str, str | None] | None = None) -> datetime:
        """Deliver a day of the named sources, as it is or as SQL over `t` makes of it; by default all, as they are."""
        for source, sql in (sources or dict.fromkeys(DAILY)).items():
            self._put(Path(source) / f"dt={day}" / f"{source}.parquet", sql)
        return self.clock.now()

    def make(self, first: date, last: date) -> None:
        """Deliver days, and make them by the command."""
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            self.deliver(day)
        self._run([*COMMAND, "backfill", "--from", str(first), "--to", str(last), "--use-case", NAME])

    def deliver_snapshot(self, source: str, sql: str | None = None) -> datetime:
        """Deliver a snapshot, as it is or as SQL over `t` makes of it."""
        self._put(Path(source) / f"{source}.parquet", sql)
        return self.clock.now()

    def backfill(self, day: date) -> None:
        """Make a day, as the runbooks tell whoever is on call."""
        self._run([*COMMAND, "backfill", "--from", str(day), "--to", str(day), "--use-case", NAME])

    def restore(self) -> None:
        """Bring what the demo published to a store that is empty, as after its loss."""
        self._run([*COMMAND, "restore", NAME, "--reason", "The drill publishes to a MongoDB of its own"])

    def _put(self, file: Path, sql: str | None) -> None:
        """Under a hidden name first, written at the time of the drill: the disk knows only the machine's."""
        source = self.root / "undisturbed" / "data" / "landing" / file
        target = self.root / "data" / "landing" / file
        hidden = target.with_name(f".{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if sql is None:
            shutil.copyfile(source, hidden)
        else:
            with duckdb.connect() as connection:
                connection.execute(f"CREATE VIEW t AS FROM read_parquet('{source}', hive_partitioning = false)")
                connection.execute(f"COPY ({sql}) TO '{hidden}' (FORMAT parquet)")
        now = self.clock.now().timestamp()
        os.utime(hidden, (now, now))
        hidden.replace(target)

    def _run(self, command: list[str], more: Mapping[str, str] | None = None) -> None:
        with (self.root / "commands.log").open("a", encoding="utf-8") as log:
            environment = {**os.environ, **(more or {})}
            subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=log, stderr=log, timeout=PATIENCE)
