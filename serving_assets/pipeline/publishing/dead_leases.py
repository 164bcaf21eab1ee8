"""Leases of the online store that killed runs still hold.

Here: who may be known to be dead, by what Dagster knows of its runs. Not here: the lease itself, which keeps two living
writers apart (store/publication.py).
"""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from serving_assets.pipeline.dagster_instance.tags import ROOT_RUN_ID_TAG
from serving_assets.store import Lease, OnlineStore, release

RUNNING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


Runs = Callable[[], dg.DagsterInstance]
"""Opens the instance that knows the runs: only where there is a lease, because a rollback must not need Dagster."""


def release_dead_lease(runs: Runs, store: OnlineStore, collection: str) -> Lease | None:
    """Release the lease on `collection` if the run that holds it is over, and return it.

    Without this, a repair of a killed publish, or a rollback from it, would wait until the lease runs out, which
    takes minutes.
    """
    control = store.control(collection)
    lease = control.lease if control else None
    if lease is None or not is_over(runs(), lease.writer) or not release(store, collection, lease):
        return None
    return lease


def is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether this instance knows the run, and neither it nor a retry, which publishes in its name, is running."""
    run = instance.get_run_by_id(run_id)
    retries = instance.get_runs(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: run_id}))
    return run is not None and all(each.status not in RUNNING for each in (run, *retries))
