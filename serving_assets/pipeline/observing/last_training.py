"""What the gate decided last, and why: each condition with what was measured and what is demanded.

Here: reading it from the champion's newest materialization. Not here: the decision (models/lifecycle/promotion.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

CONDITIONS = "reasons"
"""Metadata of the champion's materialization: a table of the gate's conditions."""


def last_training(instance: dg.DagsterInstance, use_case: str) -> dict[str, Any] | None:
    """The last candidate in plain values; None before the first training.

    `promoted` is whether the gate let it pass; `conditions` have `name`, `passed`, `measured` and `threshold`.
    """
    event = instance.get_latest_materialization_event(dg.AssetKey([use_case, "champion"]))
    if event is None or event.asset_materialization is None:
        return None
    metadata = event.asset_materialization.metadata
    table = metadata.get(CONDITIONS)
    records = table.records if isinstance(table, dg.TableMetadataValue) else []
    return {
        "at": datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec="seconds"),
        "candidate": metadata["candidate"].value,
        "champion": metadata["champion"].value,
        "promoted": metadata["promoted"].value,
        "conditions": [dict(record.data) for record in records],
    }
