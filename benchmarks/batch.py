"""What one daily run costs, stage by stage, on a population grown from the real one.

Here: the command. Not here: the growing (population.py), the runs (workspace.py), the floors (floors.py) or the tables
(tables.py). Run it as `python benchmarks/batch.py --help`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from benchmarks import floors, tables
from benchmarks.population import Population
from benchmarks.workspace import NEWEST, STAGES, Stage, Workspace
from serving_assets.settings import get_settings

R = TypeVar("R")
RUNS = 3
"""Daily runs that are measured, one after the other; one more goes before them, to publish for the first time."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def batch(
    households: Annotated[int, typer.Option(min=1_000, help="Households to grow the 2,469 real ones to.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Decides who is whose copy; the same seed gives the same rows.")] = 1,
    days: Annotated[int, typer.Option(min=95, max=365, help="Days of history before and with the runs.")] = 120,
    compare: Annotated[
        int, typer.Option(help="Run again with 120 and 365 days of history and this many households; 0: do not.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the tables into this Markdown file too.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Work in this folder and leave it; default: a passing one.")] = None,
) -> None:
    """Measure each stage of a daily run: seconds, CPU-seconds, rows a second, peak memory, and times its floor.

    Four daily runs through Dagster in this process, each stage a run of its own so that its checks count as well; the
    first one publishes for the first time, the tables show the medians of the others. Each floor is measured right
    after its run, in a process of its own. The memory of a query is ENGINE_MEMORY, as everywhere. A million households
    take 10 to 20 minutes and 10 GB of disk; 3,000 take two minutes, most of them for the training.
    """
    warnings.simplefilter("ignore")
    command = f"python benchmarks/batch.py --households {households} --seed {seed} --days {days}"
    lines = [
        f"`{command}{f' --compare {compare}' if compare else ''}`",
        "",
        tables.machine(get_settings().engine_memory),
        "",
    ]
    with ExitStack() as held:
        folder = keep or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="batch-")))
        first, inserts, measured = _measure(folder / "main", households, seed, days)
        size = f"{households:,} households, {days} days of history"
        lines += [f"## One daily run: {size}", "", *tables.stages_table(measured), ""]
        lines += ["## Against the floors", "", *tables.floors_table(measured), ""]
        lines += ["## The first publication", "", *tables.first_table(first, inserts), ""]
        if compare:
            by_days = {n: _measure(folder / f"history_{n}", compare, seed, n)[2] for n in (120, 365)}
            lines += [f"## The length of the history: {compare:,} households", "", *tables.history_table(by_days), ""]
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _measure(
    root: Path, households: int, seed: int, days: int
) -> tuple[Sequence[Stage], floors.Floor, list[tables.Day]]:
    """The first publication with its floor, and the daily runs after it."""
    runs = [NEWEST - timedelta(days=back) for back in range(RUNS, -1, -1)]
    _apart(_prepare, root, households, seed, days, runs)
    workspace = Workspace(root, days)
    _say(f"{households:,} households with {days} days of history are grown, a model is trained")
    for stage in ("raw", "mapped", "features", "predictions", "historic"):
        workspace.run(stage, runs[0])
    _apart(_backdate, root, days, runs[0])
    first = [workspace.run(stage, runs[0]) for stage in ("latest", "online")]
    inserts = _apart(floors.bare_inserts, root, days, runs[0])
    _say("published for the first time")
    return first, inserts, [_run_day(workspace, day) for day in runs[1:]]


def _run_day(workspace: Workspace, day: date) -> tables.Day:
    floor_of = {"features": floors.scanning, "predictions": floors.bare_scoring, "online": floors.bare_inserts}
    stages, measured = {}, {}
    for name in STAGES:
        stages[name] = workspace.run(name, day)
        if name in floor_of:
            measured[name] = _apart(floor_of[name], workspace.root, workspace.days, day)
    _say(f"ran {day}")
    return tables.Day(day, stages, measured)


def _prepare(root: Path, households: int, seed: int, days: int, runs: Sequence[date]) -> None:
    workspace = Workspace(root, days)
    population = Population(households, seed, workspace.catalog)
    workspace.grow(population, runs)
    workspace.train(population)


def _backdate(root: Path, days: int, day: date) -> None:
    Workspace(root, days).backdate(day)


def _apart(work: Callable[..., R], *args: object) -> R:
    """Do `work` in a new process, so that its memory is none of the stages'."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet) as pool:
        return pool.submit(work, *args).result()


def _quiet() -> None:
    warnings.simplefilter("ignore")


def _say(what: str) -> None:
    typer.echo(f"{what}", err=True)


if __name__ == "__main__":
    app()
