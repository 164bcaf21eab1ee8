"""Read-back: known ids, read as readers read them, hold what the lake holds.

Here: a few documents through the store's reading path, which is the one that the API answers from. Not here: the
comparison of all documents by count and digest (store_parity.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import literal
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.monitoring.read_back import missed, read_back_severity
from serving_assets.pipeline.checks.history import evaluations
from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.pipeline.publishing.published_documents import PublishedDocuments
from serving_assets.store import OnlineStore, read

READ_BACK = Check(
    "read_back",
    "A few known ids, read as the API reads them, get the predictions that stand in the lake.",
    blocking=False,
)
FORMER_NAME = "canary"
"""Name of the check in event logs of earlier versions."""


def check_read_back(
    engine: Engine,
    snapshot: PublishedDocuments,
    store: OnlineStore,
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    count: int,
) -> Verdict:
    """Compare `count` published documents, other ones with every generation."""
    expected = _expected(engine, snapshot, count)
    reading = read(store, snapshot.collection.name, list(expected))
    found = {
        value.entity: {"value": value.value, "as_of": value.as_of, "model_version": value.model_version}
        for value in reading.values
        if value is not None
    }
    misses = missed(expected, found)
    severity = read_back_severity(len(misses), missed_before(instance, asset))
    message = f"All {len(expected)} known ids get what the lake holds."
    if misses:
        message = f"{len(misses)} of {len(expected)} known ids get something else than the lake holds"
        message += ", as some did in the run before." if severity == "error" else "."
    return READ_BACK.verdict(
        severity, message, measured=len(misses), threshold=1, examples=misses, numbers={"ids": len(expected)}
    )


def missed_before(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[bool]:
    """Whether earlier evaluations missed, the newest first; what was recorded under the former name comes last."""
    for name in (READ_BACK.name, FORMER_NAME):
        for evaluation in evaluations(instance, asset, name, 1):
            yield not evaluation.passed


def _expected(engine: Engine, snapshot: PublishedDocuments, count: int) -> dict[Any, dict[str, Any]]:
    """What readers should get: the documents of a few entities, with what they leave out filled in."""
    sql = f"""
        SELECT id, text FROM ({snapshot.documents_sql("snapshot")})
        ORDER BY hash(id || {literal(snapshot.as_of)}), id LIMIT {count}
    """
    rows = engine.collect(Query(sql, {"snapshot": Input(snapshot.scan)})).to_pylist()
    common = {"as_of": snapshot.as_of, "model_version": snapshot.stamp.model_version}
    documents = {row["id"]: json.loads(row["text"]) for row in rows}
    return {
        entity: {"value": document["v"], **{name: document.get(name, value) for name, value in common.items()}}
        for entity, document in documents.items()
    }
