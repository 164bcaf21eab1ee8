"""Answers that are scored in the request, and the choice between them and what was published.

Here: which path a request takes, and why; the answer has both. Not here: looking up (lookup.py), gathering features
(serving/reading/features.py), models (live_model.py).

- On the fly: the champion, on features of the request and the store.
- Hybrid: a fresh enough published prediction where there is one, else the fallback's answer.
- A use case that declares both answers on the fly when the request brings a feature of its champion, and else hybrid;
  an entity without stored features, where they are declared, is for the fallback.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import isfinite, nan
from typing import Any, NamedTuple

import orjson

from serving_assets.catalog.entity_ids import expected
from serving_assets.catalog.serve import Fallback
from serving_assets.catalog.spec import UseCase
from serving_assets.catalog.timing import has_expired
from serving_assets.errors import InputError
from serving_assets.serving.http.answer import JSON, NO_STORE, Answer
from serving_assets.serving.http.problems import Problem, bad_request, unavailable
from serving_assets.serving.live_model import LiveModel
from serving_assets.serving.lookup import BATCH, Lookup
from serving_assets.serving.reading.cache import Entry
from serving_assets.serving.reading.collection import FollowedCollection, Unavailable
from serving_assets.serving.reading.features import Values, gather, given_features
from serving_assets.store import Entity

ON_THE_FLY, FALLBACK = "on_the_fly", "fallback"
MEMBERS = frozenset({"entity_id", "features", "explain"})
INSTANTS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
"""Written as the published ones are."""


class Asked(NamedTuple):
    """What a request asks."""

    entity: Entity | None
    features: Values
    explain: bool


class Stored(NamedTuple):
    """Features from the store; no values where there are none."""

    values: Values | None = None
    as_of: float | None = None
    generation: int | None = None
    stale: bool = False


@dataclass(frozen=True)
class ModelWithDefaults:
    """A model that may answer, with the declared defaults of missing features."""

    live: LiveModel
    defaults: Values


class Scoring:
    """Scored answers of one use case.

    Args:
        spec: the use case; it declares on-the-fly scoring, a fallback, or both.
        lookup: its published predictions.
        features: its stored features; None where it has none.
        champion: its own model; None where it is not scored on the fly.
        fallback: the other use case's model; None where there is none.
    """

    def __init__(
        self,
        spec: UseCase,
        lookup: Lookup,
        features: FollowedCollection[Values] | None,
        champion: ModelWithDefaults | None,
        fallback: ModelWithDefaults | None,
    ) -> None:
        self.spec, self._lookup, self.features = spec, lookup, features
        self._champion, self._fallback = champion, fallback
        self._days = spec.predictions.expire_after_days

    @property
    def models(self) -> list[LiveModel]:
        """The models that it needs."""
        return [model.live for model in (self._champion, self._fallback) if model is not None]

    async def answer(self, body: dict[str, Any]) -> Answer:
        """The answer to a request's body, whose members are among MEMBERS.

        Raises:
            Problem: 400, 422, or 503 when no declared path leads to an answer.
        """
        try:
            asked = self._asked(body)
            if self._champion is not None and self._wants_champion(asked.features):
                return await self._scored(self._champion, asked)
            return await self._hybrid(asked)
        except Unavailable as error:
            raise unavailable(str(error)) from None

    def _asked(self, body: dict[str, Any]) -> Asked:
        entity, explain = body.get("entity_id"), body.get("explain")
        if explain not in (None, "features"):
            raise bad_request('explain can only be "features".')
        if entity is not None and (entity := self._lookup.parse(entity)) is None:
            raise bad_request(f"entity_id is not valid: {expected(self.spec.entity)}.")
        return Asked(entity, self._given(body.get("features")), explain is not None)

    def _given(self, features: Any) -> Values:
        """The features of a request, which needs only the models that are to take them."""
        loaded = [model.current.scorer.signature for model in self.models if model.current is not None]
        if isinstance(features, dict) and not features.keys() <= {name for one in loaded for name in one.names}:
            for model in self.models:
                model.loaded()  # a feature that no loaded model has may be one of a model that is not loaded
        return given_features(features, *loaded)

    def _wants_champion(self, given: Values) -> bool:
        if self._champion is None or self._fallback is None:
            return self._champion is not None
        return bool(given) and not given.keys().isdisjoint(self._champion.live.loaded().scorer.signature.names)

    async def _scored(self, model: ModelWithDefaults, asked: Asked) -> Answer:
        stored = Stored()
        if self.features is not None and asked.entity is not None:
            try:
                stored = await self._stored(self.features, asked.entity)
            except Unavailable:
                if self._needs_store():
                    raise
                stored = Stored(stale=True)
            if stored.values is None and self._fallback is not None:
                reason = "store_down" if stored.stale else "no_stored_features"
                return await self._respond(self._fallback, asked, Stored(), FALLBACK, reason)
        reason = "requested" if stored.values is not None or self.features is None else "no_stored_features"
        return await self._respond(model, asked, stored, ON_THE_FLY, "store_down" if stored.stale else reason)

    def _needs_store(self) -> bool:
        """Whether there is to be no answer without stored features; a fallback's own word comes first."""
        declared = self.spec.serve.fallback or self.spec.serve.on_the_fly
        return declared is not None and declared.when_store_is_down == "unavailable"

    async def _stored(self, features: FollowedCollection[Values], entity: Entity) -> Stored:
        entry, stale = await features.get(entity)
        if entry.content is None or has_expired(entry.as_of, self._days, time.time()):
            return Stored()
        return Stored(entry.content, entry.as_of, entry.version.number, stale)

    async def _hybrid(self, asked: Asked) -> Answer:
        declared = self.spec.serve.fallback
        if declared is None or self._fallback is None:
            raise Problem("not-offered", "The use case declares no serve.fallback.")
        if asked.entity is None:
            return await self._respond(self._fallback, asked, Stored(), FALLBACK, "no_entity")
        try:
            entry, stale = await self._lookup.collection.get(asked.entity)
        except Unavailable:
            if declared.when_store_is_down == "unavailable":
                raise
            return await self._respond(self._fallback, asked, Stored(), FALLBACK, "store_down")
        reason = self._why_not(entry, stale, declared)
        if reason is None:
            return self._published(asked, entry, stale)
        return await self._respond(self._fallback, asked, Stored(), FALLBACK, reason)

    def _why_not(self, entry: Entry[bytes], stale: bool, declared: Fallback) -> str | None:
        """Why a published prediction is not the answer; None when it is."""
        if stale and declared.when_store_is_down == "fallback":
            return "store_down"
        if entry.content is None:
            return "unknown_entity"
        days = declared.max_age_days or self._days
        return "too_old" if has_expired(entry.as_of, days, time.time()) else None

    def _published(self, asked: Asked, entry: Entry[bytes], stale: bool) -> Answer:
        more = b',"model":"%b","reason":"%b"' % (self.spec.name.encode(), b"store_down" if stale else b"published")
        if asked.explain:
            more += b',"features":{}'
        return Answer(200, self._lookup.body(entry, stale, more), (JSON, NO_STORE), BATCH)

    async def _respond(
        self, model: ModelWithDefaults, asked: Asked, stored: Stored, source: str, reason: str
    ) -> Answer:
        loaded = model.live.loaded()
        signature = loaded.scorer.signature
        known = frozenset(signature.names)
        given = {name: value for name, value in asked.features.items() if name in known}
        gathered = gather(signature, given, stored.values, model.defaults)
        try:
            scores = await loaded.score(gathered.row)
        except InputError:
            raise Problem("unscorable", "The model refuses this combination of values.") from None
        now = time.time()
        as_of = now if stored.as_of is None else stored.as_of
        body: dict[str, Any] = {
            "use_case": self.spec.name,
            "source": source,
            "reason": reason,
            "entity_id": asked.entity,
            "prediction": self._prediction(signature.outputs, scores),
            "as_of": datetime.fromtimestamp(as_of, UTC),
            "age_seconds": max(int(now - as_of), 0),
            "model": model.live.name,
            "model_version": loaded.version,
            "generation": stored.generation,
            "stale": stored.stale,
        }
        features = partial(gathered.explained, signature)
        if asked.explain:
            body["features"] = features()
        return Answer(200, orjson.dumps(body, option=INSTANTS), (JSON, NO_STORE), source, features)

    def _prediction(self, names: tuple[str, ...], scores: Sequence[float]) -> dict[str, float]:
        """The scores by column, as the model gave them; none that the declaration forbids leaves the server."""
        prediction = dict(zip(names, scores, strict=True))
        for name, bounds in self.spec.predictions.columns.items():
            score = prediction.get(name, nan)
            low, high = bounds.minimum, bounds.maximum
            if not isfinite(score) or (low is not None and score < low) or (high is not None and score > high):
                raise Unavailable("The model gave no valid score for these features.")
        return prediction
