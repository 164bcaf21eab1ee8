"""Lag: how many days the newest partition is behind, and how old the newest row is.

Here: both, at the time of a run. Not here: freshness, which also reports when no run comes at all
(pipeline/automation/freshness_policies.py). A freshness policy is content when any partition is made, this check only
when the newest one is.
"""

from __future__ import annotations

from datetime import date, datetime

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import above
from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.pipeline.days import as_of

PARTITION_LAG = Check(
    "partition_lag",
    "The newest day is there, whichever day was made last; and its newest row is as new as it should be.",
    blocking=False,
)
_DAY_SECONDS = 86_400


def check_partition_lag(
    newest: date | None,
    timezone: str,
    now: datetime,
    thresholds: TableChecks,
    *,
    newest_row: datetime | None = None,
    backfilled: int = 1,
) -> Verdict:
    """Days since the end of the newest day that is there.

    Args:
        newest: that day; None when there is none.
        timezone: of the days.
        now: an instant.
        thresholds: in days.
        newest_row: the newest timestamp among the rows, where it is known.
        backfilled: days that this run has made. A run over several is a running backfill and never warns.
    """
    if newest is None:
        return PARTITION_LAG.verdict("pass", "No day was ever made.", measured=0, threshold=thresholds.lag_warn)
    behind = (now - as_of(newest, timezone)).total_seconds() / _DAY_SECONDS
    severity = above(behind, thresholds.lag_warn, thresholds.lag_error)
    message = f"The newest day is {newest}, which ended {_in_words(behind)} ago."
    if severity != "pass" and backfilled > 1:
        severity, message = "pass", f"{message} A backfill of {backfilled} days is running."
    numbers: dict[str, float] = {}
    if newest_row is not None:
        numbers["newest_row_age_days"] = round((now - newest_row).total_seconds() / _DAY_SECONDS, 3)
        message += f" Its newest row is of {newest_row:%Y-%m-%d %H:%M %Z}."
    threshold = thresholds.lag_error if severity == "error" else thresholds.lag_warn
    return PARTITION_LAG.verdict(severity, message, measured=round(behind, 3), threshold=threshold, numbers=numbers)


def _in_words(days: float) -> str:
    return f"{days * 24:.0f} hours" if abs(days) < 2 else f"{days:,.1f} days"
