"""What the erasure's fault tests run in processes of their own, which can be killed.

Here: functions that a child process can import. Not here: where it is killed, or what must hold afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

from serving_assets.failpoints import VARIABLE
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_person import erase
from serving_assets.pipeline.privacy.retention import retain
from tests.pipeline.slice import Bench, small_catalog

KEY = "household_id"
PATIENCE = 240
PRELOADED = ["serving_assets.pipeline.definitions", "tests.faults.erasure_child"]


def forget(bench: Bench, person: int) -> None:
    """Erase a person, or go on with it."""
    erase(bench.platform, bench.instance, [erasure_register.ask(bench.platform, KEY, person)])


def clean_up(bench: Bench, days: int) -> None:
    """Retention, as it would run in `days` days."""
    retain(bench.platform, now=datetime.now(UTC) + timedelta(days=days))


def exit_code(work: Callable[[Bench, int], None], bench: Bench, argument: int, kill_at: str) -> int | None:
    """How a process ended that did this on the folder of `bench` and was to be killed at a failpoint."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    child = context.Process(target=_work, args=(work, str(bench.root), argument, kill_at), daemon=True)
    child.start()
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode


def _work(work: Callable[[Bench, int], None], root: str, argument: int, kill_at: str) -> None:
    os.environ[VARIABLE] = kill_at
    work(Bench(Path(root), small_catalog()), argument)
