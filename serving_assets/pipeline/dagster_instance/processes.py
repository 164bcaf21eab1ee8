"""The processes that execute runs: which one this is, which are gone, and the runs that killed ones left behind.

Here: process ids of this machine, and the runs that carry them. Not here: executing a run (local_runner/run_assets.py).
"""

from __future__ import annotations

import os
import platform

import dagster as dg

from serving_assets.pipeline.dagster_instance.tags import PROCESS_TAG


def settle_dead_runs(instance: dg.DagsterInstance) -> None:
    """Fail the runs of killed commands on this machine, and free the pool slots they held.

    Without a daemon nothing else does, and the next command would wait for the slot for ever.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if is_dead(run.tags.get(PROCESS_TAG, "")):
            instance.report_run_failed(run, "The process that executed this run was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def this_process() -> str:
    """Return host and id of the running process, as its runs and backfills carry them."""
    return f"{platform.node()}:{os.getpid()}"


def is_dead(process: str) -> bool:
    """Return whether `process` was one of this machine and is gone; False for one of another machine."""
    host, _, pid = process.rpartition(":")
    return host == platform.node() and not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
