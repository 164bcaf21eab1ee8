"""What the prediction API makes of tens of thousands of requests, most of them wrong: statuses and memory.

Here: the command, and the table it prints. Not here: the requests (tests/serving/fuzzing.py). Run it as `make fuzz`, or
`python -m benchmarks.fuzz --help`. It fails when anything fails but on purpose, or when memory grows beyond its bound.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving_assets.serving.http.keys import create_key
from tests.serving.conftest import make_bundles, make_world
from tests.serving.fuzzing import CLOSED, DELIBERATE, MEGABYTE, Fuzz
from tests.serving.world import World

MOST_GROWTH = 100 * MEGABYTE
HOSTILE_SHARE = 0.1


@contextmanager
def server(root: Path, bundles: Path, *, keys: bool) -> Iterator[tuple[World, Fuzz]]:
    """A served world, and who asks it."""
    world, key = make_world(root, bundles), ""
    if keys:
        _, key = create_key(world.data / "api-keys.json", "fuzz", ["*"], rate=None, days=None)
    with world.served() as served:
        yield served, Fuzz(served, key)


def peak(world: World) -> int:
    """The most memory that the server has had, in bytes."""
    assert world.process is not None
    status = Path(f"/proc/{world.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def told(statuses: Counter[int]) -> str:
    """The statuses, most frequent first."""
    return ", ".join(f"{'closed' if one == CLOSED else one}: {n:,}" for one, n in statuses.most_common())


def run(root: Path, bundles: Path, number: int, *, keys: bool) -> None:
    """One server, `number` requests, one row for each sort of them."""
    with server(root, bundles, keys=keys) as (world, fuzz):
        fuzz.ask_documented(200)
        before = world.memory()
        fuzz.ask_documented(int(number * (1 - HOSTILE_SHARE)))
        between = world.memory()
        fuzz.ask_hostile(int(number * HOSTILE_SHARE))
        after, most = world.memory(), peak(world)
        bugs = sum(line["event"] == "bug" for line in world.log())
    rows = (("by the document", fuzz.documented, before, between), ("hostile", fuzz.hostile, between, after))
    for sort, statuses, first, last in rows:
        memory = f"{first / MEGABYTE:.0f} | {last / MEGABYTE:.0f} | {most / MEGABYTE:.0f}"
        print(
            f"| {'on' if keys else 'off'} | {sort} | {statuses.total():,} | {told(statuses)} | {memory} |", flush=True
        )
    failed = {status for status in fuzz.documented + fuzz.hostile if status >= 500} - DELIBERATE
    if failed or bugs or after - before > MOST_GROWTH:
        raise SystemExit(f"failed: {failed or ''} {bugs} bugs, memory grew by {(after - before) / MEGABYTE:.0f} MiB")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="in all, half of them with keys (default: 20000)")
    number = parser.parse_args().requests // 2
    print("| keys | requests | number | statuses | memory before, MiB | after | peak |\n|" + " --- |" * 7, flush=True)
    with tempfile.TemporaryDirectory(prefix="serving-assets-fuzz-") as folder:
        bundles = make_bundles(Path(folder) / "bundles")
        for keys in (False, True):
            run(Path(folder) / f"keys-{keys}", bundles, number, keys=keys)


if __name__ == "__main__":
    main()
