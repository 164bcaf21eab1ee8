"""What a backfill of the real year costs, and how much of it is the work itself.

Here: both, on the same files, with the same SQL and the same model. Not here: a daily run (batch.py). Run it as
`python -m benchmarks.backfill --help`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import tables
from serving_assets.catalog.discovery import BoundUseCase, Table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.demo import FIRST_DAY, NEWEST_DAY, land
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.lake import DayRange
from serving_assets.lake.day_ranges import chunks
from serving_assets.landing.ingest import ingest
from serving_assets.landing.zone import LandingZone
from serving_assets.local_runner import backfill, backfill_steps
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.asset_keys import upstream_tables
from serving_assets.pipeline.automation import backfill_record
from serving_assets.pipeline.automation.backfill_record import Phase
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.published_documents import newest_documents, predictions_of
from serving_assets.pipeline.publishing.publisher import Publisher
from serving_assets.pipeline.stages.features import features_query
from serving_assets.pipeline.stages.historic import historic_columns
from serving_assets.pipeline.stages.latest import merge_latest, plan_merge
from serving_assets.settings import PROJECT, get_settings
from serving_assets.store import Cause

NAME = "purchase_propensity"
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass
class Clock:
    """Wall-clock seconds by phase, and CPU seconds of all, those of processes that have ended included."""

    seconds: dict[Phase, float] = field(default_factory=dict)
    cpu: float = 0.0

    def add(self, phase: Phase, since: float) -> float:
        """Count what has passed since then to a phase; returns now."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0) + now - since
        return now


@contextmanager
def _clock() -> Iterator[tuple[Clock, float]]:
    clock, cpu = Clock(), sum(os.times()[:4])
    yield clock, time.perf_counter()
    clock.cpu = sum(os.times()[:4]) - cpu


@app.command()
def year(
    days: Annotated[int, typer.Option(min=1, max=365, help="Days to backfill, from the first of 2017 on.")] = 365,
    out: Annotated[Path | None, typer.Option(help="Write the table into this Markdown file too.")] = None,
) -> None:
    """Backfill the real year as the command does, and do the same work without Dagster and without checks.

    The model is trained before, on tables of another lake, and counts in neither. Takes some minutes and 1 GB of disk.
    """
    warnings.simplefilter("ignore")
    whole = DayRange(FIRST_DAY, NEWEST_DAY)
    chosen = DayRange(FIRST_DAY, FIRST_DAY + timedelta(days=days - 1))
    with tempfile.TemporaryDirectory(prefix="backfill-") as folder:
        root = Path(folder)
        with _opened(root, "training") as workspace:
            land(workspace.platform.settings.landing, ending=NEWEST_DAY)
            _train(workspace, whole)
        with _opened(root, "bare") as workspace:
            _say("a model is trained; the work itself")
            bare = _bare(workspace.platform, workspace.catalog.use_case(NAME), chosen)
        with _opened(root, "backfilled") as workspace:
            _say("the backfill")
            done = _backfilled(workspace, chosen)
    lines = [f"`python -m benchmarks.backfill --days {days}`", "", tables.machine(get_settings().engine_memory), ""]
    lines += _table(len(chosen), bare, done)
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def _opened(root: Path, lake: str) -> Iterator[Workspace]:
    """A workspace as a command has it: its own lake, store and instance, the same landing zone and models."""
    home = root / lake / "home"
    home.mkdir(parents=True)
    shutil.copy(PROJECT / "dagster_home" / "dagster.yaml", home)
    kept = dict(os.environ)
    os.environ |= {
        "DATA_DIR": str(root / "data"),
        "LAKE_URI": str(root / lake / "lake"),
        "CATALOG_DIR": str(_patient_catalog(root)),
        "STORE_URI": f"sqlite:///{root / lake / 'online.db'}",
        "FIRST_DAY": str(FIRST_DAY),
        "DAGSTER_HOME": str(home),
    }
    get_settings.cache_clear()
    try:
        yield Workspace()
    finally:
        os.environ.clear()
        os.environ.update(kept)
        get_settings.cache_clear()


def _patient_catalog(root: Path) -> Path:
    """The shipped catalog, whose checks measure everything and stop no day for being unlike the training set.

    A model of the whole year does not know the first months as they were: without their history, and before the first
    campaigns. The shipped thresholds refuse many of these days, and a refused day costs less than a scored one.
    """
    folder = root / "catalog"
    if not folder.exists():
        shutil.copytree(PROJECT / "serving_assets" / "catalog", folder)
        file = folder / "use_cases" / NAME / "use_case.py"
        declared = file.read_text(encoding="utf-8")
        assert "checks=Checks(" in declared
        patient = declared.replace("checks=Checks(", "checks=Checks(null_error=1.0, psi_error=99.0, ", 1)
        file.write_text(patient, encoding="utf-8")
    return folder


def _train(workspace: Workspace, days: DayRange) -> None:
    use_case = workspace.catalog.use_case(NAME)
    defs, instance = workspace.defs, workspace.instance
    for outcome in backfill_steps.backfill_tables(defs, instance, workspace.catalog, use_case, days):
        assert outcome.success, outcome.failures
    trained = backfill_steps.train(defs, instance, use_case)
    assert trained.success, trained.failures


def _backfilled(workspace: Workspace, days: DayRange) -> Clock:
    """As `serving-assets backfill` does it, checks, records and publication included."""
    with _clock() as (clock, now):
        ordered = backfill_record.order(workspace.view, workspace.catalog.use_case(NAME), days, only_tables=False)
        for phase, outcome in backfill.carry_out(workspace, ordered):
            now = clock.add(phase, now)
            assert outcome.success, outcome.failures
    return clock


def _bare(p: Platform, use_case: BoundUseCase, days: DayRange) -> Clock:
    """The same queries in the same chunks, the same scorer day by day, one merge and one publication; nothing else."""
    with _clock() as (clock, now):
        made = [p.catalog.tables[key.path[-1]] for key in upstream_tables(p.catalog, use_case)]
        for chunk in chunks(days):
            for table in made:
                _make(p, table, chunk)
        now = clock.add(Phase.TABLES, now)
        version = p.registry.serving_champion(use_case.name)
        scorer = p.registry.bundle(use_case.name, version).scorer(threads=p.settings.engine_threads)
        key, columns = use_case.spec.entity.key, tuple(historic_columns(use_case))
        features, predictions, historic, latest = (
            p.lake.table(use_case.lake_name(stage)) for stage in ("features", "predictions", "historic", "latest")
        )
        for day in days.days():
            p.engine.transform([features_query(use_case, p, day)], Target(features, {DAY: day}, (DAY,)))
            constants = {DAY: day, "model_version": version}
            p.engine.score(
                Input(features.scan({DAY: day})), scorer, key, constants, Target(predictions, {DAY: day}, (DAY,))
            )
            scores = ", ".join((key, *use_case.spec.predictions.columns))
            query = Query(
                f"SELECT {scores}, model_version, {DAY} AS scored_for, CAST($at AS TIMESTAMPTZ) AS scored_at, "
                "'bare' AS run_id, CAST(1 AS BIGINT) AS features_version FROM predictions",
                {"predictions": Input(predictions.scan({DAY: day}))},
                {"at": datetime.now(UTC)},
            )
            p.engine.transform(
                [query], Target(historic, {"scored_for": day, "run_id": "bare"}, ("scored_for", "run_id"))
            )
        now = clock.add(Phase.PREDICTIONS, now)
        merge = plan_merge(historic, latest, columns, use_case.spec.predictions.expire_after_days)
        assert merge is not None
        merge_latest(p, latest, merge, key, columns)
        collection = predictions_of(use_case)
        Publisher(p, collection, "bare", "bare").publish(
            newest_documents(collection, p.engine, p.lake), Cause("publish", "bare")
        )
        clock.add(Phase.PUBLICATION, now)
    return clock


def _make(p: Platform, table: Table, days: DayRange) -> None:
    """One raw or mapped table, of a range of days or whole."""
    where = {DAY: days} if table.daily else None
    if isinstance(table.spec, Source):
        ingest(
            table.spec,
            LandingZone.of(p.settings),
            days if table.daily else None,
            p.lake,
            p.engine,
            table.domain.timezone,
        )
        return
    assert table.statement is not None
    read = {name: p.catalog.tables[name] for name in table.inputs}
    inputs = {name: Input(p.lake.table(t.lake_name).scan(where if t.daily else None)) for name, t in read.items()}
    query = Query(table.statement.text, inputs, timezone=table.domain.timezone)
    p.engine.transform([query], Target(p.lake.table(table.lake_name), where, (DAY,) if table.daily else ()))


def _table(days: int, bare: Clock, done: Clock) -> list[str]:
    lines = [f"| {days} days | the work itself | backfill | times |", "| --- | --- | --- | --- |"]
    for phase in Phase:
        lines.append(_line(f"{phase.value}, s", bare.seconds[phase], done.seconds[phase]))
    lines.append(_line("**all, s**", sum(bare.seconds.values()), sum(done.seconds.values())))
    return [*lines, _line("all, CPU s", bare.cpu, done.cpu)]


def _line(name: str, bare: float, done: float) -> str:
    return f"| {name} | {bare:.1f} | {done:.1f} | {done / bare:.2f} |"


def _say(what: str) -> None:
    typer.echo(what, err=True)


if __name__ == "__main__":
    app()
