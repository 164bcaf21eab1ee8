"""`python -m drill`: the whole drill, or some faults of it.

Here: the options, and the order in which the parts begin and end. Not here: the parts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from drill.calendar import at, clocks_go_back, newest_of_demo
from drill.clock import VARIABLE, Clock
from drill.world import World

if TYPE_CHECKING:
    from drill.play import Drill

CLOCK, CHANGE = "clock", "DRILL_CHANGE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 when every fault went as expected and nobody read a wrong prediction."""
    options = parsed(arguments)
    if VARIABLE not in os.environ:
        return begin(options, list(arguments if arguments is not None else sys.argv[1:]))
    root = Path(os.environ[VARIABLE]).parent
    world = World(root, Clock(root / CLOCK), date.fromisoformat(os.environ[CHANGE]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that what was started is ended
    try:
        return drilled(world, options)
    finally:
        if options.keep:
            sys.stdout.write(f"Kept: {root}\n")
        else:
            shutil.rmtree(root, ignore_errors=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser("python -m drill", description="Twelve faults in a live copy of the demo.")
    parser.add_argument("--only", default="", help="some faults, such as late_file,store_down; they keep their order")
    parser.add_argument("--keep", action="store_true", help="leave the workspace and its logs, and tell where")
    parser.add_argument("--demo", type=Path, help="copy the workspace of an earlier --build")
    parser.add_argument("--build", action="store_true", help="only build the workspace, for --demo; implies --keep")
    parser.add_argument("--report", type=Path, help="write the result as Markdown into this file")
    return parser.parse_args(arguments)


def begin(options: argparse.Namespace, arguments: list[str]) -> int:
    """Make the clock, and go on in a process that lives by it."""
    root = Path(tempfile.mkdtemp(prefix="drill-"))
    clock = Clock(root / CLOCK)
    clock.build()
    change = clocks_go_back(datetime.now(UTC).date())
    clock.set(at(newest_of_demo(change) + timedelta(days=1), "12:00"), time.time())
    world = World(root, clock, change)
    environment = {**os.environ, **clock.environment, **world.environment, CHANGE: str(change)}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "drill", *arguments], environment)


def drilled(world: World, options: argparse.Namespace) -> int:
    """The workspace, the processes, the faults, the report."""
    from drill.faults import FAULTS, TIME_CHANGE
    from drill.play import OTHER, Result, pass_over, play, told
    from drill.report import markdown, show

    wanted = [name for name in options.only.split(",") if name]
    if unknown := set(wanted) - {fault.name for fault in FAULTS}:
        sys.stderr.write(f"No such fault: {', '.join(sorted(unknown))}. Known: {', '.join(f.name for f in FAULTS)}.\n")
        return 2
    told(f"The workspace in {world.root}; without --demo, building it takes some minutes")
    world.build(options.demo)
    if options.build:
        options.keep = True
        return 0
    world.clock.leap_to(at(world.first, "20:00"))  # a demo that was copied ended at another time of that day
    started, results = time.monotonic(), list[Result]()
    with live(world) as drill:
        day = world.first
        told(f"Live since {drill.clock.now():%Y-%m-%d %H:%M} UTC by its own clock; {OTHER} is switched off")
        for fault in (fault for fault in FAULTS if not wanted or fault.name in wanted):
            if fault.name == TIME_CHANGE:
                pass_over(drill, day, world.change - timedelta(days=2))
                day = world.change
            results.append(play(drill, fault, day))
            day += timedelta(days=1)
    show(results)
    page = markdown(results, (time.monotonic() - started) / 60, (world.first, world.change))
    if options.report:
        options.report.write_text(page, encoding="utf-8")
    return int(any(result.missed for result in results))


@contextmanager
def live(world: World) -> Iterator[Drill]:
    """Everything running, over a store that holds what the demo published."""
    from drill.alerts import inbox
    from drill.dagster_side import Observer
    from drill.play import Drill
    from drill.processes import Processes, database
    from drill.undisturbed import FILE
    from drill.watcher import Right, Watcher

    expected = json.loads((world.root / "undisturbed" / FILE).read_text(encoding="utf-8"))
    with inbox() as box, database() as store:
        os.environ["MONGODB_URI"] = store.uri
        box.configure(world.root / "dagster")
        world.restore()
        processes, observer = Processes(world), Observer()
        try:
            processes.start_code_server()
            observer.switch_off(processes)
            processes.start_daemon()
            processes.start_api()
            watcher = Watcher(processes.api_port, Right(expected))
            try:
                yield Drill(world, processes, store, box, observer, watcher)
            finally:
                watcher.close()
        finally:
            processes.stop()


if __name__ == "__main__":
    raise SystemExit(main())
