"""Named places at which a test can kill the process, to prove that a kill there does no harm.

Here: the names and the switch. Not here: the tests (tests/faults), or any other way to inject a fault.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "SERVING_ASSETS_FAILPOINT"

FAILPOINTS = frozenset(
    {
        "lake.write.before",
        "lake.write.mid_stream",
        "lake.write.after_commit",
        "raw.between_rejected_and_accepted",
        "model.before_register",
        "model.before_alias",
        "stage.before_write",
        "stage.after_write",
        "store.publish.after_begin",
        "store.publish.mid_write",
        "store.publish.before_verify",
        "store.publish.before_flip",
        "store.publish.after_flip",
        "online.before_publication_row",
        "rollback.before_write",
        "rollback.after_write",
        "resume.after_write",
        "retention.after_table",
        "retire.after_publish",
        "erasure.after_begin",
        "erasure.after_rows",
        "erasure.before_publish",
        "erasure.after_publish",
        "erasure.after_files",
        "erasure.after_history",
        "erasure.before_examples",
        "erasure.before_receipt",
    }
)

_hits: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kill this process with SIGKILL when the environment arms `name`; otherwise do nothing.

    Armed by `SERVING_ASSETS_FAILPOINT=name`, or `name:n` for its n-th hit in this process.

    Raises:
        KeyError: when `name` is not registered, so that a test cannot wait for a place that no longer exists.
    """
    if name not in FAILPOINTS:
        raise KeyError(name)
    armed, _, nth = os.environ.get(VARIABLE, "").partition(":")
    if armed != name:
        return
    _hits[name] += 1
    if _hits[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
