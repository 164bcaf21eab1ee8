"""What the API's benchmark measured, as the Markdown that is committed.

Here: the tables. Not here: measuring (api.py).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Report

OURS = "serving-assets"
RIVALS = Path(__file__).parent / "rivals"


class Measured(NamedTuple):
    """One case on one server."""

    server: str
    what: str
    connections: int
    report: Report
    peak: float


def printed(found: list[Measured]) -> Iterator[str]:
    """Machine, measurements and aims."""
    yield machine()
    yield ""
    yield "| server | what | connections | requests/s | p50, ms | p99, ms | peak memory, MiB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in found:
        rate, p50, p99 = one.report
        times = f"{rate:,.0f} | {p50:,.2f} | {p99:,.2f}"
        yield f"| {one.server} | {one.what} | {one.connections} | {times} | {one.peak:,.0f} |"
    yield ""
    yield "| aim | measured | met |"
    yield "| --- | --- | --- |"
    yield from aims(found)


def aims(found: Iterable[Measured]) -> Iterator[str]:
    """What was aimed at, and whether it was reached."""
    by = {(one.server, one.what): one.report for one in found}
    cached = by[OURS, "look-up of one, cached"]
    many = {how: by[OURS, f"look-up of 1,000, {how}"].rate for how in ("cached", "read from SQLite")}
    scored = "score, all features in the request"
    times = by[OURS, scored].rate / by["MLflow", scored].rate
    yield _aim("cached look-ups, 5,000/s on one core", f"{cached.rate:,.0f}/s", cached.rate >= 5_000)
    yield _aim("their p99 below 10 ms", f"{cached.p99:.2f} ms", cached.p99 < 10)
    for how, rate in many.items():
        batches = rate / by["Feast", "look-up of 1,000"].rate
        yield _aim(f"batches of 1,000, {how}, 10 times Feast's", f"{batches:.1f} times", batches >= 10)
    yield _aim("scores of one row, 30 times MLflow's", f"{times:.1f} times", times >= 30)


def _aim(what: str, measured: str, met: bool) -> str:
    return f"| {what} | {measured} | {'yes' if met else 'no'} |"


def machine() -> str:
    """Cores, processor and versions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    ours = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "orjson", "onnxruntime", "pymongo"))
    rivals = ", ".join(_pin(name) for name in ("mlflow", "feast"))
    load = "{:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}; {ours}; "
        f"{rivals}. Load averages at the end: {load}."
    )


def _pin(name: str) -> str:
    pins = (RIVALS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return next(pin for pin in pins if pin.startswith(f"{name}==")).replace("==", " ")
