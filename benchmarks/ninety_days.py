"""Ninety simulated days of the real year with injected faults: what the alerts tell, and what they should not have.

    python -m benchmarks.ninety_days --seed 1 --seed 2     # --help explains the rest

Here: the workspace, the lives, the command. Not here: a day's course (ninety/life.py), the faults (ninety/faults.py,
ninety/drawing.py), or what counts as true (ninety/scoring.py).

**The days** are those from 2017-10-03 to 2017-12-31 of the real tills, all households, nothing smoothed: the clocks go
back, Thanksgiving falls on 2017-11-23, the shops close on Christmas Day. The shipped `purchase_propensity`, with its
defaults, is trained on the nine months before, scores four weeks of them, and is not trained again.

**A day** is lived as the product lives it, by a simulated clock: files arrive at 04:00; the sensor of arrivals, the
daily schedule at its hour and at its cut-off, and the sensor of catching up are asked, and what they request is run,
checks and all; Dagster's freshness is evaluated at the deadline; the alerts look after each of these. Whoever is on
call acknowledges at 09:00, and fixes in the next morning, by delivering or setting right and letting the product do the
rest.

**Faults** are drawn by the seed, twenty of twenty-two kinds, one to three days long, no two at once, with two quiet
days at least after each.

**What counts**, fixed before anything was measured: benchmarks/ninety/scoring.py says when a told incident is true. The
same ninety days are lived once without any fault, and what these tell is never true, also where it falls into a fault.
*Recall* is the share of the faults of which anything true was told, warnings included. *Precision* is the share of true
incidents among all that were told, of errors (which page) and of errors and warnings; "by fault" counts all that one
fault causes once, and each false incident. *False pages a week* are errors that belong to no fault, over all days.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import tables
from benchmarks.ninety import report
from benchmarks.ninety.drawing import Fault, drawn, live_with
from benchmarks.ninety.life import FIXED, Life, clock, stock
from benchmarks.ninety.scoring import Score, Told, score
from serving_assets.catalog.discovery import Catalog, load_catalog
from serving_assets.demo import FIRST_DAY, NEWEST_DAY, land
from serving_assets.lake import DayRange
from serving_assets.local_runner import backfill_steps
from serving_assets.settings import PROJECT, get_settings
from tests.pipeline.slice import NAME, Bench

FIRST = date(2017, 10, 3)
SCORED_BEFORE = timedelta(days=28)
"""Days before the first one that are scored, so that volumes and matured quality have a past."""
FAULTS = 20
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Lived:
    """What was told in some days, how often each incident was, and which days were published in time."""

    told: list[Told]
    notices: dict[int, int]
    published: dict[date, bool]


@app.command()
def ninety(
    seed: Annotated[list[int] | None, typer.Option(help="Draws the faults; give it several times.")] = None,
    days: Annotated[int, typer.Option(min=10, max=90, help="Days to live, from 2017-10-03 on.")] = 90,
    incidents: Annotated[int, typer.Option(min=0, help="Faults to inject.")] = FAULTS,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the workspaces, and what was told, here; what is there is not done again.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the tables into this Markdown file too.")] = None,
) -> None:
    """Live ninety days of the real data without faults, and with twenty per seed; print what the alerts told.

    A life takes a quarter of an hour of computing, and 1 GB of disk.
    """
    warnings.simplefilter("ignore")
    seeds = seed or [1]
    with tempfile.TemporaryDirectory(prefix="ninety-days-") as temporary:
        root = folder or Path(temporary)
        base = _base(root)
        undisturbed = _lived(base, root / f"undisturbed-{days}", [], days)
        lives = {}
        for each in seeds:
            faults = drawn(each, FIRST, days, incidents)
            lives[each] = (faults, _lived(base, root / f"seed-{each}-{days}-{incidents}", faults, days))
        scores = {each: _scored(base, *lives[each], undisturbed, days) for each in seeds}
    lines = _document(scores, {each: lived for each, (_, lived) in lives.items()}, undisturbed, days, incidents)
    sys.stdout.write("\n".join(lines) + "\n")
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def one_use_case() -> Catalog:
    """The shipped catalog with the use case that readers look up."""
    catalog = load_catalog(PROJECT / "serving_assets" / "catalog")
    return replace(catalog, use_cases={NAME: catalog.use_cases[NAME]})


def _base(root: Path) -> Life:
    """All days before the first: tables, a champion, four weeks of predictions, one publication."""
    life = Life(Bench(root / "base", one_use_case()), root / "shelf")
    complete = root / "base" / "complete"
    if complete.exists():
        return life
    shutil.rmtree(life.bench.root, ignore_errors=True)
    _say("tables and a model of the days before")
    land(life.shelf, ending=NEWEST_DAY)
    bench, use_case = life.bench, life.bench.use_case
    with clock(FIRST, FIXED):
        stock(life, FIRST)
        before = DayRange(FIRST_DAY, FIRST - timedelta(days=1))
        scored = DayRange(FIRST - SCORED_BEFORE, before.last)
        for outcome in [
            *backfill_steps.backfill_tables(bench.defs, bench.instance, bench.catalog, use_case, before),
            backfill_steps.train(bench.defs, bench.instance, use_case),
            *backfill_steps.backfill_predictions(bench.defs, bench.instance, use_case, scored.days()),
            backfill_steps.publish(bench.defs, bench.instance, use_case),
        ]:
            assert outcome.success, outcome.failures
    complete.touch()
    return life


def _lived(base: Life, root: Path, faults: Sequence[Fault], days: int) -> Lived:
    """Live on a copy of `base`, unless that has been done."""
    kept = root.with_suffix(".json")
    if not kept.exists():
        _say(root.name)
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base.bench.root, root)
        life = Life(replace(base.bench, root=root), base.shelf)
        live_with(life, faults, FIRST, days)
        notices = Counter(number for _, number in life.watch.notices)
        kept.write_text(_dumped(Lived(life.watch.told, dict(notices), life.published)), encoding="utf-8")
    return _loaded(kept.read_text(encoding="utf-8"))


def _scored(base: Life, faults: Sequence[Fault], lived: Lived, undisturbed: Lived, days: int) -> Score:
    return score([fault.injected(base) for fault in faults], lived.told, undisturbed.told, days)


def _document(
    scores: dict[int, Score], lives: dict[int, Lived], undisturbed: Lived, days: int, incidents: int
) -> list[str]:
    seeds = " ".join(f"--seed {each}" for each in scores)
    nobody = score([], undisturbed.told, [], days)
    lines = [
        f"`python -m benchmarks.ninety_days {seeds} --days {days} --incidents {incidents}`",
        "",
        tables.machine(get_settings().engine_memory),
        "",
        *report.summary(scores),
        "",
        f"### Without any fault: {nobody.false_pages_a_week:.2f} pages a week",
        "",
        *report.of_false(nobody),
    ]
    for each, found in scores.items():
        lines += ["", f"### Seed {each}: the faults", ""]
        lines += report.of_faults(found, lives[each].notices, lives[each].published)
        lines += ["", f"### Seed {each}: told without a fault", "", *report.of_false(found)]
    return lines


def _dumped(lived: Lived) -> str:
    told = [{**asdict(one), "at": one.at.isoformat()} for one in lived.told]
    published = {str(day): done for day, done in lived.published.items()}
    return json.dumps({"told": told, "notices": lived.notices, "published": published}, indent=1)


def _loaded(text: str) -> Lived:
    found: dict[str, Any] = json.loads(text)
    return Lived(
        [Told(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in found["told"]],
        {int(number): count for number, count in found["notices"].items()},
        {date.fromisoformat(day): done for day, done in found["published"].items()},
    )


def _say(what: str) -> None:
    typer.echo(what, err=True)


if __name__ == "__main__":
    app()
