"""Store parity: what readers get is what the lake says, document by document.

Here: the verdict. Not here: the reading and digesting (store/).
"""

from __future__ import annotations

from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.store import Parity

STORE_PARITY = Check(
    "store_parity", "The store's active generation holds exactly the documents of latest, by count and digest."
)


def check_store_parity(found: Parity) -> Verdict:
    """Documents more or fewer than expected; a different digest with the same count is a different value."""
    gap = found.rows - found.expected_rows
    if found.equal:
        said = f"All {found.rows:,} documents of generation {found.generation} are those of latest."
        return STORE_PARITY.verdict("pass", said, measured=0, threshold=0)
    said = (
        f"Generation {found.generation} holds {found.rows:,} documents with digest {found.digest}; latest has "
        f"{found.expected_rows:,} with {found.expected_digest}. Publish again; if it stays, restore the use case."
    )
    return STORE_PARITY.verdict("error", said, measured=abs(gap), threshold=0)
