"""What was measured, as the Markdown that is committed.

Here: medians, ratios and their tables. Not here: measuring.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.floors import Floor
from benchmarks.workspace import STAGES, Stage

PACKAGES = ("dagster", "deltalake", "duckdb", "pyarrow", "onnxruntime")
GIB = 1 << 30


@dataclass(frozen=True)
class Day:
    """One daily run, and the floors measured beside it, by the stage that each belongs to."""

    day: date
    stages: Mapping[str, Stage]
    floors: Mapping[str, Floor]

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.whole.seconds for stage in self.stages.values())

    @property
    def cpu_seconds(self) -> float:
        """Of all stages."""
        return sum(stage.whole.cpu_seconds for stage in self.stages.values())


@dataclass(frozen=True)
class Aim:
    """A stage, what its floor is, and how many times the floor it may take."""

    stage: str
    floor: str
    times: float


AIMS = (
    Aim("features", "DuckDB adds up every column of the window that the features read", 3.0),
    Aim("predictions", "the bare scorer on the same rows in memory", 1.3),
    Aim("online", "bare SQLite inserts of the documents that the publish wrote", 2.0),
)


def machine(engine_memory: str) -> str:
    """Cores, memory, processor, versions, how much a query may take, and how busy the machine was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    told = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[2]
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}, {told}."
        f" ENGINE_MEMORY is {engine_memory}. Load average over the last 15 minutes: {load:.1f}."
    )


def stages_table(days: Sequence[Day]) -> list[str]:
    """Medians over the days, a stage a line."""
    lines = _header("stage", "rows", "seconds", "of it the write", "CPU seconds", "rows/s", "peak memory, MiB")
    for name in STAGES:
        runs = [day.stages[name] for day in days]
        seconds = _median(run.whole.seconds for run in runs)
        rows = runs[-1].rows
        lines.append(
            f"| {name} | {rows:,} | {seconds:.2f} | {_median(run.write.seconds for run in runs):.2f} "
            f"| {_median(run.whole.cpu_seconds for run in runs):.2f} | {rows / seconds:,.0f} "
            f"| {max(run.whole.peak_memory_mib for run in runs):,.0f} |"
        )
    peak = max(run.whole.peak_memory_mib for day in days for run in day.stages.values())
    lines.append(
        f"| **all** | | **{_median(day.seconds for day in days):.2f}** | | "
        f"**{_median(day.cpu_seconds for day in days):.2f}** | | **{peak:,.0f}** |"
    )
    return lines


def floors_table(days: Sequence[Day]) -> list[str]:
    """Medians of the ratios of each day, a floor a line: of the write, and of the write with its checks."""
    lines = _header("stage", "floor", "floor, s", "write, s", "times", "times, CPU", "times, with checks", "aim")
    for aim in AIMS:
        pairs = [(day.stages[aim.stage], day.floors[aim.stage]) for day in days if aim.stage in day.stages]
        times = _median(stage.write.seconds / floor.seconds for stage, floor in pairs)
        lines.append(
            f"| {aim.stage} | {aim.floor} | {_median(floor.seconds for _, floor in pairs):.2f} "
            f"| {_median(stage.write.seconds for stage, _ in pairs):.2f} | **{times:.2f}** "
            f"| {_median(stage.write.cpu_seconds / floor.cpu_seconds for stage, floor in pairs):.2f} "
            f"| {_median(stage.whole.seconds / floor.seconds for stage, floor in pairs):.2f} | {aim.times} |"
        )
    return lines


def first_table(stages: Iterable[Stage], inserts: Floor) -> list[str]:
    """The first publication: a merge of the whole history, and every document new."""
    lines = _header(
        "stage", "rows", "seconds", "of it the write", "CPU seconds", "peak memory, MiB", "write / bare inserts"
    )
    for stage in stages:
        ratio = f"{stage.write.seconds / inserts.seconds:.2f}" if stage.name == "online" else ""
        lines.append(
            f"| {stage.name} | {stage.rows:,} | {stage.whole.seconds:.2f} | {stage.write.seconds:.2f} "
            f"| {stage.whole.cpu_seconds:.2f} | {stage.whole.peak_memory_mib:,.0f} | {ratio} |"
        )
    return lines


def history_table(measured: Mapping[int, Sequence[Day]]) -> list[str]:
    """The daily cost by the days of history there are, against the shortest."""
    lines = _header("days of history", "seconds", "times", "CPU seconds", "times")
    shortest = measured[min(measured)]
    for days, runs in sorted(measured.items()):
        seconds, cpu = _median(day.seconds for day in runs), _median(day.cpu_seconds for day in runs)
        lines.append(
            f"| {days} | {seconds:.2f} | {seconds / _median(day.seconds for day in shortest):.2f} "
            f"| {cpu:.2f} | {cpu / _median(day.cpu_seconds for day in shortest):.2f} |"
        )
    return lines


def _header(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
