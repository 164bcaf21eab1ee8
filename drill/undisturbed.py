"""What an undisturbed run publishes for each day of the drill, in a copy of the workspace that no fault reaches.

    python -m drill.undisturbed FOLDER FIRST_DAY LAST_DAY

It is a process of its own, whose clock is past all of the days. Writes `FOLDER/expected.json`: by as-of, each entity's
value, as-of and model version, as a reader gets them.

Here: these runs. Not here: comparing with them (watcher.py).
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from serving_assets.catalog.discovery import load_catalog
from serving_assets.demo import Shift
from serving_assets.lake import DayRange
from serving_assets.store import read, scan
from tests.e2e.real import CATALOG, RealBench

FILE = "expected.json"


def main(folder: Path, days: DayRange) -> None:
    """Deliver, score and publish one day after the other."""
    shift = Shift.remembered(folder / "data" / "landing")
    assert shift is not None
    bench = RealBench(folder, load_catalog(CATALOG), first=shift.first)
    expected = dict([published(bench)])
    bench.arrive(days)
    for day in days.days():
        bench.score_and_publish(day)
        expected |= [published(bench)]
    (folder / FILE).write_text(json.dumps(expected), encoding="utf-8")


def published(bench: RealBench) -> tuple[str, dict[str, Any]]:
    """The as-of of what readers get, and every document of it."""
    store, name = bench.platform.store, bench.name
    control = store.control(name)
    assert control is not None
    assert control.published is not None
    found = read(store, name, sorted(entity for entity, _ in scan(store, name))).values
    documents = {str(f.entity): [f.value, f.as_of, f.model_version] for f in found if f is not None}
    return control.published.as_of, documents


if __name__ == "__main__":
    main(Path(sys.argv[1]), DayRange(date.fromisoformat(sys.argv[2]), date.fromisoformat(sys.argv[3])))
