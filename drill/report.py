"""The result as a table: on the screen, and as Markdown.

Here: the words. Not here: what is measured (play.py).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from drill.play import OTHER, Result
from drill.watcher import Seen
from serving_assets.commands.screen import console

HEADERS = ("fault", "detected by", "after", "not made", "readers meanwhile", "alert", "fix", "over after")
PACKAGES = ("dagster", "deltalake", "duckdb", "pymongo")
INTRODUCTION = """# Twelve faults in a live workspace

    make drill

The demo's workspace with a live daemon, code server and API over MongoDB's wire protocol. Each fault is injected on a \
day of its own and noticed by whatever notices it in production: the arrivals sensor, the daily schedule, catching up, \
the checks, run monitoring, the freshness daemon, and the sensor of the alerts, whose notices a webhook receives. The \
time of day is moved on while nothing happens, so the times are told by the daemon's clock: from the moment at which \
the fault could be known to the notice, and from the fix until the day is published and every incident over. What a \
run takes is real.

Readers ask the API for every household once a second, or as often as the machine lets them. Each prediction is \
compared with what an undisturbed run over the same data publishes for the as-of that the answer names: its value, \
as-of and model version, and whether there is one. So is everything that the store holds after each fault.
"""


def show(results: Sequence[Result]) -> None:
    """Print each fault, a fact a line, and what was missed."""
    for result in results:
        name, *facts = zip(HEADERS, row(result), strict=True)
        console.print(f"[bold]{name[1]}[/]", soft_wrap=True)
        for header, said in facts:
            console.print(f"  {header:<18} {said}", soft_wrap=True, highlight=False)
        for missed in result.missed:
            console.print(f"  [red]not as expected[/]    {missed}", soft_wrap=True, highlight=False)
    names = [result.fault.name for result in results if result.missed]
    console.print(f"[red]Not as expected: {', '.join(names)}[/]" if names else "Everything was as expected.")


def markdown(results: Sequence[Result], minutes: float, days: tuple[date, date]) -> str:
    """The page."""
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + " --- |" * len(HEADERS)]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row(result)) + " |" for result in results]
    checked = sum(result.meanwhile.predictions + result.afterwards.predictions for result in results)
    wrong = sum(len(seen.wrong) for result in results for seen in (result.meanwhile, result.afterwards))
    missed = [f"- {result.fault.name}: {text}" for result in results for text in result.missed]
    facts = [
        f"{checked:,} predictions were read and compared; {wrong} were wrong.",
        f"The days are {days[0]} to {days[1]}. It took {minutes:.0f} minutes after the workspace was built.",
        f"Not part of it: {OTHER}, trainings, the nightly scoring of days that late data changed, and housekeeping: "
        "their schedules are switched off.",
        f"Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average "
        f"{os.getloadavg()[2]:.0f}; Python {platform.python_version()}, "
        f"{', '.join(f'{name} {version(name)}' for name in PACKAGES)}.",
        "Expected and not met:\n\n" + "\n".join(missed) if missed else "Everything was as expected.",
    ]
    return "\n".join([INTRODUCTION, *lines, "", "\n\n".join(facts), ""])


def row(result: Result) -> tuple[str, ...]:
    """One fault, in words."""
    fault = result.fault
    opened = [notice for notice in result.notices if notice.event == "opened" and notice.scope != OTHER]
    by = [notice for notice in opened if notice.subject in fault.detected_by]
    detectors = ", ".join(dict.fromkeys(f"{kind} of {asset}" for asset, kind in (n.subject for n in by)))
    return (
        f"{fault.name}: {fault.what}",
        detectors or "nothing to detect",
        seconds(result.detected_after),
        _first(result.not_made) if fault.blocked else "",
        readers(result.meanwhile),
        "; ".join(dict.fromkeys(notice.title for notice in opened)) or "none",
        fault.fix,
        seconds(result.resolved_after),
    )


def readers(seen: Seen) -> str:
    """What they got."""
    generations = ", ".join(f"{number} (as of {as_of[:10]})" for number, as_of in sorted(seen.generations.items()))
    told = [f"{seen.predictions:,} predictions of generation {generations or 'none'}, {len(seen.wrong)} wrong"]
    if seen.stale:
        told.append(f"{seen.stale} answers marked stale")
    if seen.refused:
        told.append(", ".join(f"{count} answers {status}" for status, count in sorted(seen.refused.items())))
    return "; ".join(told)


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return "-"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def _first(not_made: Sequence[str]) -> str:
    return f"{not_made[0]} and the {len(not_made) - 1} after it" if len(not_made) > 1 else ", ".join(not_made)
