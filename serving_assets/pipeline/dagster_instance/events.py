"""Events of the log in plain values.

Here: numbers of a materialization, and why a step failed. Not here: what follows from an event (pipeline/observing/).
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.event_api import EventLogCursor

from serving_assets.pipeline.dagster_instance.step_metadata import hint_of


def plain_numbers(materialization: dg.AssetMaterialization) -> dict[str, Any]:
    """Return the metadata of a materialization that are plain values."""
    plain = (dg.IntMetadataValue, dg.FloatMetadataValue, dg.TextMetadataValue, dg.BoolMetadataValue)
    return {name: entry.value for name, entry in materialization.metadata.items() if isinstance(entry, plain)}


def is_check_failure(event: dg.DagsterEvent) -> bool:
    """Return whether a blocking check caused the failure: the check itself has recorded why."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def step_failure(event: dg.DagsterEvent) -> str:
    """Return which step failed, why, and how to fix it where that is known."""
    data = event.step_failure_data
    reason = (data.user_failure_data.description or "") if data.user_failure_data else ""
    hint = hint_of(data.user_failure_data.metadata) if data.user_failure_data else ""
    if not reason and data.error is not None:
        cause = data.error.cause or data.error
        reason = cause.message.strip()
    step = (event.step_key or "").replace("__", "/", 1)
    named = reason if reason.startswith(step) else f"{step}: {reason}"
    return named + (f" {hint}" if hint else "")


def cursor_after(event: int) -> str:
    """Return the cursor from which the event log is read on after an event of that number."""
    return EventLogCursor.from_storage_id(event).to_string()
