"""Whether every file of a delivery was read.

Here: the verdict over one landing. Not here: which files are read (landing/zone.py), or the rows in them (rejected.py).
"""

from __future__ import annotations

from serving_assets.catalog.spec import Source
from serving_assets.landing.files import is_ignored
from serving_assets.landing.ingest import EMPTY, Landed
from serving_assets.pipeline.checks.verdict import Check, Verdict

FILES_READ = Check("files_read", "Every file of the delivery is read, or declared to hold no rows.", blocking=False)
MOST_NAMED = 20
"""Files that are named one by one; a folder may hold thousands."""


def check_files_read(source: Source, landed: Landed) -> Verdict:
    """Warn of files that were not read: an unknown suffix, hidden, in a folder inside, empty.

    An empty file is how a source that may be empty delivers a day without rows.
    """
    unread = [
        (path, why)
        for path, why in landed.unread
        if not is_ignored(path.rpartition("/")[2], source) and not (why == EMPTY and source.may_be_empty)
    ]
    named = "; ".join(f"{path} ({why})" for path, why in unread[:MOST_NAMED])
    more = f"; and {len(unread) - MOST_NAMED:,} more" if len(unread) > MOST_NAMED else ""
    message = (
        f"{len(unread):,} files were not read: {named}{more}. Have them delivered as {source.format}, or declare "
        "ignored_files."
        if unread
        else "All are read."
    )
    return FILES_READ.verdict("warn" if unread else "pass", message, measured=len(unread), threshold=0)
