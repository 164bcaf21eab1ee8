"""A pool of processes that each run single days: the bookkeeping of a day keeps one core busy, and no more.

Here: the processes, and what they are given. Not here: which days are run (backfill_steps.py), or one run
(run_assets.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from functools import cache
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import Protocol

import dagster as dg

from serving_assets.errors import ServingAssetsError
from serving_assets.local_runner.run_assets import Outcome, run_assets


class Opened(Protocol):
    """What a process runs assets with."""

    @property
    def defs(self) -> dg.Definitions:
        """The definitions that hold the assets."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance that keeps the runs."""


def run_side_by_side(
    opens: Callable[[], Opened],
    keys: Sequence[dg.AssetKey],
    days: Iterable[date],
    tags: Mapping[str, str],
    processes: int,
) -> Iterator[Outcome]:
    """Materialize `keys` for each of `days` in a run of its own; yields as each ends, oldest begun first.

    A day is begun when an outcome has been taken; closed early, this waits for the runs that have begun. Each process
    calls `opens` once, under the environment of this one; it is pickled, so it is a function or class of a module.

    Raises:
        ServingAssetsError: a process was killed; the runs that had ended stay done.
    """
    left = iter(days)
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (dict(os.environ),)) as pool:
        at_work = {pool.submit(_run, opens, keys, day, tags) for day in islice(left, processes)}
        while at_work:
            ended, at_work = wait(at_work, return_when=FIRST_COMPLETED)
            for future in ended:
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    raise ServingAssetsError(
                        "A process that scores days was killed.",
                        hint="If memory ran out, lower ENGINE_MEMORY or BACKFILL_PROCESSES. Then resume the backfill.",
                    ) from error
                yield outcome
                at_work |= {pool.submit(_run, opens, keys, day, tags) for day in islice(left, 1)}


def _begin(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A command that is killed leaves no process behind that goes on scoring."""
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)


@cache
def _opened(opens: Callable[[], Opened]) -> Opened:
    return opens()


def _run(opens: Callable[[], Opened], keys: Sequence[dg.AssetKey], day: date, tags: Mapping[str, str]) -> Outcome:
    opened = _opened(opens)
    return run_assets(opened.defs, opened.instance, keys, day, tags=tags)
