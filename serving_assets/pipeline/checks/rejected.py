"""What upstream delivered against its contract: quarantined rows, and undeclared columns.

Here: verdicts over one landing. Not here: the contract's rules (landing/ingest.py applies them).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from serving_assets.catalog.spec import Source
from serving_assets.landing.ingest import Landed
from serving_assets.pipeline.checks.verdict import Check, Verdict

REJECTED_SHARE = Check("rejected_share", "Few landed rows break the source's contract; those that do are quarantined.")
DECLARED_COLUMNS = Check("declared_columns", "The files have the declared columns and no other.", blocking=False)


def check_rejected_share(source: Source, landed: Landed, counts: Mapping[str, tuple[int, int]]) -> Verdict:
    """The share of landed rows that were rejected, with the commonest reasons and the original rows.

    `counts` has the accepted and rejected rows of each day. The worst day decides: in a range, others would hide it.
    """
    worst = max(counts, key=lambda day: _share(*counts[day]))
    share, rejected, total = _share(*counts[worst]), counts[worst][1], sum(counts[worst])
    severity = _severity(share, source.rejected_warn, source.rejected_error)
    reasons = "; ".join(f"{reason} ({n:,})" for reason, n in list(landed.reasons.items())[:5])
    when = f" of {worst}" if len(counts) > 1 and rejected else ""
    message = f"{rejected:,} of {total:,} rows{when} rejected ({share:.2%})" + (f": {reasons}." if reasons else ".")
    threshold = source.rejected_warn if severity == "warn" else source.rejected_error
    limits = source.rejected_warn, source.rejected_error
    alike = [day for day, count in counts.items() if _severity(_share(*count), *limits) == severity]
    days = map(date.fromisoformat, alike) if len(counts) > 1 else ()  # otherwise it may be the name of a source
    return REJECTED_SHARE.verdict(
        severity, message, measured=share, threshold=threshold, examples=landed.examples, days=days
    )


def check_declared_columns(landed: Landed) -> Verdict:
    """Undeclared columns; a declared one that is missing has stopped the landing already."""
    extra = landed.extra_columns
    message = (
        f"Undeclared columns are ignored: {', '.join(extra)}. Declare or stop them." if extra else "All are declared."
    )
    return DECLARED_COLUMNS.verdict("warn" if extra else "pass", message, measured=len(extra), threshold=0)


def _share(accepted: int, rejected: int) -> float:
    return rejected / (accepted + rejected) if rejected else 0.0


def _severity(share: float, warn: float, error: float) -> Literal["pass", "warn", "error"]:
    return "error" if share > error else "warn" if share > warn else "pass"
