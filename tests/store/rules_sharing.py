"""Who may use one store object: threads, forked processes, and whoever comes after it was closed.

Here: connections, as far as every store has them. Not here: what is read and written through them (the other rules).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving_assets.store import OnlineStore, scan
from tests.store.rules import ALL, ONE, TWO, C, Rules
from tests.store.snapshots import published, seen


class SharingRules(Rules):
    """Part of StoreConformance."""

    def test_threads_share_a_store(self, store: OnlineStore) -> None:
        """Any number of threads may read one store object while another publishes."""
        published(store, C, {}, ONE)
        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(seen, store, C, ALL) for _ in range(150)]
            published(store, C, ONE, TWO)
            answers = [read.result() for read in [*reads, pool.submit(seen, store, C, ALL)]]
        assert all(answer in ({1: 0.1, 2: 0.2, 3: 0.3}, {1: 0.1, 2: 0.25, 4: 0.4}) for answer in answers)
        assert answers[-1] == {1: 0.1, 2: 0.25, 4: 0.4}

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore:MongoClient opened before fork:UserWarning")
    def test_a_fork_opens_its_own_connection(self, store: OnlineStore) -> None:
        """A forked child uses none of its parent's connections: both go on reading and publishing."""
        published(store, C, {}, ONE)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                published(store, C, ONE, TWO)
                store.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert dict(scan(store, C)) == TWO
        published(store, C, TWO, ONE)
        assert dict(scan(store, C)) == ONE

    def test_a_closed_store_opens_again(self, store: OnlineStore) -> None:
        """Close releases what is held open, and a later call opens it again."""
        published(store, C, {}, ONE)
        store.close()
        assert dict(scan(store, C)) == ONE
