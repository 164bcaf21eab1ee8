"""The tables of `benchmarks/NINETY_DAYS.md`, from what was scored.

Here: Markdown. Not here: the scoring (scoring.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from benchmarks.ninety.faults import KINDS
from benchmarks.ninety.scoring import Injected, Score, Told


def summary(scores: Mapping[int, Score]) -> list[str]:
    """One line per seed."""
    lines = [
        "| seed | faults | told | recall | precision of pages | of all | by fault: of pages | of all "
        "| false pages a week |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for seed, found in scores.items():
        kinds = [(False, True), (False, False), (True, True), (True, False)]
        told = " | ".join(f"{found.precision(pages=pages, by_fault=by):.2f}" for by, pages in kinds)
        lines.append(
            f"| {seed} | {len(found.faults)} | {found.seen} | {found.recall:.2f} | {told} | "
            f"{found.false_pages_a_week:.2f} |"
        )
    return lines


def of_faults(found: Score, notices: Mapping[int, int], published: Mapping[date, bool]) -> list[str]:
    """One line per fault.

    Args:
        found: what was told.
        notices: how often each incident was told.
        published: whether readers got the predictions of a day by the deadline.
    """
    lines = [
        "| day | days | fault | told by | severity | after | published by the deadline | incidents, notices |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fault, told in zip(found.faults, found.true, strict=True):
        what = f"`{fault.kind}`: {KINDS[fault.kind].what}"
        handed_on = "yes" if published[fault.day] else "no"
        if not told:
            lines.append(f"| {fault.day} | {fault.days} | {what} | **nothing** | | | {handed_on} | |")
            continue
        first = min(told, key=lambda one: one.at)
        worst = "error" if any(one.severity == "error" for one in told) else "warning"
        incidents = {one.incident for one in told}
        count = sum(notices.get(incident, 0) for incident in incidents)
        lines.append(
            f"| {fault.day} | {fault.days} | {what} | {_by(told)} | {worst} | {_after(fault, first)} | "
            f"{handed_on} | {len(incidents)}, {count} |"
        )
    return lines


def of_false(found: Score) -> list[str]:
    """One line per incident that belongs to no fault."""
    if not found.false:
        return ["None."]
    lines = ["| when | severity | asset | check or kind | what it said |", "| --- | --- | --- | --- | --- |"]
    for one in found.false:
        said = one.said.replace("|", "/").replace("\n", " ")
        said = said if len(said) <= 160 else f"{said[:157]}..."
        lines.append(f"| {one.at:%Y-%m-%d %H:%M} | {one.severity} | `{one.asset}` | {one.kind} | {said} |")
    return lines


def _by(told: Iterable[Told]) -> str:
    return ", ".join(dict.fromkeys(f"`{one.asset}` {one.kind}" for one in sorted(told, key=lambda one: one.at)))


def _after(fault: Injected, first: Told) -> str:
    passed = (first.at - fault.begin) // timedelta(minutes=1)
    return f"{passed // 60}:{passed % 60:02} h"
