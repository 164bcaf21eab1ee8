"""PredictionProvenance: what was served of one entity at one moment, and where it came from, down to the feature row.

Here: putting it together from the log of publications and the lake's history. Not here: its screen (commands/trace.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy.erasure_register import request_of
from serving_assets.pipeline.publishing.activation_log import LOST, ActivationLog, active_at
from serving_assets.pipeline.publishing.published_documents import PublishedDocuments, documents_of, predictions_of
from serving_assets.store import Activation, Entity


@dataclass(frozen=True)
class ServedGeneration:
    """The generation that readers got at the moment asked for.

    `until` is when another became active; None while it is the active one.
    """

    generation: int
    repeats: int | None
    since: str
    until: str | None
    kind: str
    by: str
    reason: str
    published_by_run: str


@dataclass(frozen=True)
class ScoredPrediction:
    """The prediction, as readers got it, and how it came about."""

    value: dict[str, Any]
    as_of: str
    model_version: str
    scored_for: date
    scored_at: datetime
    run_id: str
    features_version: int | None


@dataclass(frozen=True)
class PredictionProvenance:
    """The answer: in words as `message`; `made` is None when nothing was served, `features` when they are unknown."""

    use_case: str
    entity: Entity
    at: str
    message: str
    served: ServedGeneration | None = None
    made: ScoredPrediction | None = None
    features: dict[str, Any] | None = None
    features_message: str = ""


def trace(platform: Platform, use_case: BoundUseCase, entity: Entity, at: datetime) -> PredictionProvenance:
    """What readers of `entity` got at `at`. What the lake's history no longer has is reported, not guessed.

    Raises:
        InputError: `at` lies in the future.
    """
    if at > datetime.now(UTC):
        raise InputError(f"{at.isoformat()} lies in the future.", hint="Ask for a moment that has passed.")
    collection = predictions_of(use_case)
    log = ActivationLog(platform, collection).entries(platform.store.control(collection.name))
    index = active_at(log, at)
    nothing = PredictionProvenance(use_case.name, entity, at.isoformat(), "")
    request = request_of(platform, collection.key, entity)
    if request and request.begun_at:
        when = request.begun_at.isoformat(timespec="seconds")
        return replace(nothing, message=f"This {collection.key} was erased at {when}: nothing is known any more.")
    if index is None:
        first = f"the first generation became active at {log[0].at}" if log else "nothing was ever published"
        return replace(nothing, message=f"Nothing was served: {first}.")
    found = replace(nothing, served=_served(log, index))
    try:
        snapshot = documents_of(collection, log[index].generation, platform.lake)
    except InputError as error:
        return replace(found, message=f"Generation {log[index].generation.number} was served; {_gone(error)}")
    made = _made(platform, snapshot, entity)
    if made is None:
        message = f"Nothing was served: generation {log[index].generation.number} has no {collection.key} {entity}."
        return replace(found, message=message + _loss(log, index))
    features, features_message = _features(platform, use_case, entity, made)
    message = f"Generation {log[index].generation.number} was served.{_loss(log, index)}"
    return replace(found, message=message, made=made, features=features, features_message=features_message)


def _served(log: Sequence[Activation], index: int) -> ServedGeneration:
    """The whole time for which the generation was active: a pin or its end does not divide it."""
    generation, first = log[index].generation, index
    while first and log[first - 1].generation.number == generation.number:
        first -= 1
    until = next((entry.at for entry in log[index:] if entry.generation.number != generation.number), None)
    return ServedGeneration(
        generation=generation.number,
        repeats=generation.repeats,
        since=log[first].at,
        until=until,
        kind=log[first].kind,
        by=log[first].by,
        reason=log[first].reason,
        published_by_run=generation.run_id,
    )


def _loss(log: Sequence[Activation], index: int) -> str:
    """What became active after a loss records that the store had lost this generation, not since when."""
    number = log[index].generation.number
    following = next((entry for entry in log[index:] if entry.generation.number != number), None)
    if following and following.reason.startswith(LOST):
        return f" At some time before {following.at} the store lost it, and served nothing until then."
    return ""


def _made(platform: Platform, snapshot: PublishedDocuments, entity: Entity) -> ScoredPrediction | None:
    key = snapshot.collection.key
    sql = f"""
        SELECT t.scored_for, t.scored_at, t.run_id, t.model_version, t.features_version, d.text
        FROM t JOIN ({snapshot.documents_sql("t")}) AS d ON d.id = t."{key}" WHERE t."{key}" = $entity
    """
    rows = platform.engine.collect(Query(sql, {"t": Input(snapshot.scan)}, {"entity": entity})).to_pylist()
    if not rows:
        return None
    row, document = rows[0], json.loads(rows[0]["text"])
    return ScoredPrediction(
        value=document["v"],
        as_of=document.get("as_of", snapshot.as_of),
        model_version=row["model_version"],
        scored_for=row["scored_for"],
        scored_at=row["scored_at"].astimezone(UTC),
        run_id=row["run_id"],
        features_version=row["features_version"],
    )


def _features(
    platform: Platform, use_case: BoundUseCase, entity: Entity, made: ScoredPrediction
) -> tuple[dict[str, Any] | None, str]:
    """The row that was scored, and what to say of it."""
    name = use_case.lake_name("features")
    if made.features_version is None:
        return None, f"Which version of {name} was scored is not recorded."
    try:
        scan = platform.lake.table(name).scan({DAY: made.scored_for}, version=made.features_version)
        scan.files()
    except InputError as error:
        return None, f"It was scored from {name} at version {made.features_version}; {_gone(error)}"
    sql = f'SELECT * FROM t WHERE "{use_case.spec.entity.key}" = $entity'
    rows = platform.engine.collect(Query(sql, {"t": Input(scan)}, {"entity": entity})).to_pylist()
    message = f"{name} at version {made.features_version}, day {made.scored_for}"
    return (rows[0], message) if rows else (None, f"{message}: no row of this {use_case.spec.entity.key} is left.")


def _gone(error: InputError) -> str:
    return f"its rows are gone from the lake's history. ({error.message})"
