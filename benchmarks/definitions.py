"""How long Dagster's code location takes to load: seconds and CPU-seconds of fresh processes.

Here: loading the definitions of the catalog. Not here: a daily run (batch.py). Run as
`.venv/bin/python -m benchmarks.definitions`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PROGRAM = (
    "import time; from serving_assets.definitions import defs; defs().get_repository_def(); print(time.process_time())"
)
REPEATS = 5
LIMIT = 3.0
"""CPU-seconds that loading may take."""


def main() -> int:
    """Print the medians; returns 1 when loading takes more than it may."""
    seconds, cpu = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        cpu.append(float(done.stdout.split()[-1]))
    print(f"definitions: {statistics.median(seconds):.2f} s, {statistics.median(cpu):.2f} CPU-s (at most {LIMIT:g})")
    return int(statistics.median(cpu) > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
