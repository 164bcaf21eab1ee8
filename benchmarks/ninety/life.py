"""A workspace that lives day by day: files arrive, the product's own decisions are asked and carried out, alerts look.

Here: the clock of a day and what happens when, without any fault. Not here: what is broken (faults.py), or what the
alerts tell of it (alerting.py).

What runs is decided by the product: arrivals, daily schedule and catching up are asked as their ticks ask them, and
their requests run in this process. All clocks of Python, and so of Dagster, show the simulated time, which goes on
while something runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import time_machine

from benchmarks.ninety.alerting import Watch
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.demo import DAILY, SNAPSHOTS, TIMEZONE
from serving_assets.errors import ServingAssetsError
from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.pipeline.automation import arrivals_sensor, catch_up_sensor, daily_schedule
from serving_assets.pipeline.automation.gaps import find_gaps
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.days import as_of
from tests.pipeline.slice import Bench

DOMAIN = "complete_journey"
FIXED, DELIVERED, LATE = "03:00", "04:00", "09:00"
"""Local times of a morning: yesterday's fault is fixed, files arrive, and those that are late."""

CATCH_UP_TICKS = 4
"""How often catching up is asked after a fix: each time it takes a few days."""

Act = Callable[["Life", date], None]


@contextmanager
def clock(day: date, at: str) -> Iterator[None]:
    """The clocks show `at`, local time of the shops, and go on."""
    instant = datetime.combine(day, time_of_day.fromisoformat(at), ZoneInfo(TIMEZONE))
    with time_machine.travel(instant, tick=True):
        yield


@dataclass
class Life:
    """A workspace, and the true files of all days on a shelf from which they are delivered."""

    bench: Bench
    shelf: Path
    memory: arrivals_sensor.Memory = field(default_factory=arrivals_sensor.Memory)
    requested: set[tuple[str, date]] = field(default_factory=set)
    dies: set[date] = field(default_factory=set)
    """Days whose daily run is killed while it scores."""
    published: dict[date, bool] = field(default_factory=dict)
    """Whether readers got the predictions of a day by the deadline."""

    @cached_property
    def watch(self) -> Watch:
        """Who is told."""
        return Watch(self.bench)

    @property
    def use_cases(self) -> list[BoundUseCase]:
        """In the order of their schedules."""
        return sorted(self.bench.catalog.use_cases.values(), key=lambda found: found.spec.schedule.at)

    def file(self, source: str, day: date | None, root: Path | None = None) -> Path:
        """Where a file of a source is delivered, or stands on the shelf."""
        folder = (root or self.bench.settings.landing) / source
        (name,) = {path.name for path in (self.shelf / source).rglob("*.parquet")}
        return folder / f"dt={day}" / name if day else folder / name

    def deliver(self, source: str, day: date | None) -> None:
        """The true file."""
        target = self.file(source, day)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.file(source, day, self.shelf), target)
        self.arrived(target)

    def arrived(self, file: Path) -> None:
        """Let the file system know that a file is new by the simulated clock."""
        os.utime(file, (time.time(), time.time()))

    def begin(self, day: date) -> None:
        """All days before `day` are there already; the alerts look for the first time."""
        with clock(day, FIXED):
            self.memory = arrivals_sensor.Memory()
            self.tables()
            self.watch.look()

    def live(self, day: date, late: Act | None = None, deliver: Act | None = None, spoil: Act | None = None) -> None:
        """The morning on which `day` has ended: its files, tables, predictions and publication, and a look after each.

        Args:
            day: the day that has ended.
            late: delivers after all deadlines.
            deliver: delivers in place of the true delivery.
            spoil: what happens between the arrival of the files and the daily run.
        """
        morning = day + timedelta(days=1)
        with clock(morning, DELIVERED):
            for source in DAILY:
                if source == DAILY[0] and deliver is not None:
                    deliver(self, day)
                else:
                    self.deliver(source, day)
            self.tables()
            if spoil is not None:
                spoil(self, day)
            self.watch.look()
        for use_case in self.use_cases:
            at = use_case.spec.schedule
            for begin, patient in ((at.at, True), (at.cut_off, False)):
                with clock(morning, begin):
                    if self.score(use_case, day, patient=patient):
                        self.watch.look()
            with clock(morning, use_case.spec.due_at):
                self.settle()
        self.published[day] = all(self.is_published(use_case, day) for use_case in self.use_cases)
        with clock(morning, LATE):
            self.watch.acknowledge()
            if late is not None:
                late(self, day)
            if late is not None or self.watch.fails():
                self.settle()

    def fix(self, days: Sequence[date], act: Act) -> None:
        """Fix `days`, the last of which is that of the morning before, before anything else arrives."""
        with clock(days[-1] + timedelta(days=2), FIXED):
            for day in days:
                act(self, day)
            for _ in range(CATCH_UP_TICKS):
                if not self.settle():
                    return

    def settle(self) -> bool:
        """What has come late is made into tables and predictions, as far as the product does it; whether it had to."""
        self.watch.freshness()
        self.tables()
        self.watch.look()
        caught_up = [self.catch_up(use_case) for use_case in self.use_cases]
        if any(caught_up):
            self.watch.freshness()
            self.watch.look()
        return any(caught_up)

    def is_published(self, use_case: BoundUseCase, day: date) -> bool:
        """Whether readers get what was predicted at the end of `day`."""
        if not use_case.spec.serve.published:
            return True
        try:
            control = self.bench.platform.store.control(use_case.name)
        except ServingAssetsError:
            return False
        if control is None or control.published is None:
            return False
        return datetime.fromisoformat(control.published.as_of) == as_of(day, use_case.domain.timezone)

    def tables(self) -> None:
        """What the sensor of arrivals requests."""
        plan = arrivals_sensor.evaluate(self.bench.view, self.bench.platform, DOMAIN, self.memory)
        for request in plan.requests:
            self.carry_out(request)

    def score(self, use_case: BoundUseCase, day: date, *, patient: bool) -> bool:
        """What the daily schedule requests, once; whether it did so now."""
        if (use_case.name, day) in self.requested:
            return False
        found = daily_schedule.request(self.bench.view, self.bench.platform, use_case, day, patient=patient)
        if isinstance(found, dg.RunRequest):
            self.requested.add((use_case.name, day))
            if day in self.dies:
                self.dies.discard(day)
                self.watch.killed(dg.AssetKey([use_case.name, "predictions"]), day)
            else:
                self.carry_out(found)
        return isinstance(found, dg.RunRequest)

    def catch_up(self, use_case: BoundUseCase) -> bool:
        """What the sensor of catching up requests; whether it did."""
        found = find_gaps(self.bench.view, self.bench.platform, use_case, datetime.now(UTC))
        chosen = catch_up_sensor.chosen(found, use_case.spec.catch_up.runs_at_once)
        for lack in chosen:
            self.carry_out(catch_up_sensor.request(lack, Priority.CATCH_UP))
        return bool(chosen)

    def carry_out(self, request: dg.RunRequest) -> Outcome:
        """The run, in this process."""
        days = date.fromisoformat(request.partition_key) if request.partition_key else days_of(request.tags)
        return run_assets(
            self.bench.defs, self.bench.instance, request.asset_selection or (), days, tags=dict(request.tags)
        )


def stock(life: Life, before: date) -> None:
    """Deliver what came before `before`: all daily files, and the snapshots."""
    for source in SNAPSHOTS:
        if (life.shelf / source).exists():
            life.deliver(source, None)
    for source in DAILY:
        for folder in sorted((life.shelf / source).iterdir()):
            day = date.fromisoformat(folder.name.removeprefix("dt="))
            if day < before:
                life.deliver(source, day)
