"""Not pinned: readers get the newest, not what a rollback keeps them at.

Here: the verdict. Not here: pinning (pipeline/publishing/rollback.py).
"""

from __future__ import annotations

from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.store import Control

NOT_PINNED = Check("not_pinned", "Readers get the newest there is, not what a rollback has pinned.", blocking=False)


def check_not_pinned(control: Control | None, resume: str) -> Verdict:
    """A warning while readers are kept at an older generation; `resume` is the command that ends it."""
    if control is None or control.pinned is None:
        return NOT_PINNED.verdict("pass", "Nothing is pinned.", measured=0, threshold=0)
    pin = control.pinned
    why = f"because: {pin.reason}" if pin.reason else "without a reason given"
    message = (
        f"Pinned at generation {control.active} since {pin.at} by {pin.by}, {why}. "
        f"Nothing new is published until: {resume}"
    )
    return NOT_PINNED.verdict("warn", message, measured=1, threshold=0)
