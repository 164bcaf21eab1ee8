"""The handlers of /v1: from a request to the use case that answers it.

Here: finding the use case, whether the key covers it, the shape of bodies. Not here: the answers (lookup.py,
scoring.py), the table of routes (build.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serving_assets.catalog.spec import UseCase
from serving_assets.serving.http.answer import JSON, NO_STORE, Answer
from serving_assets.serving.http.problems import Problem, bad_request
from serving_assets.serving.http.request import HttpRequest
from serving_assets.serving.lookup import Lookup
from serving_assets.serving.reading.collection import FollowedCollection
from serving_assets.serving.scoring import MEMBERS, Scoring
from serving_assets.serving.telemetry.metrics import ApiMetrics
from serving_assets.serving.telemetry.prediction_log import PredictionLog

BODY_SECONDS = 10.0
_BATCH_MEMBERS = frozenset({"ids"})


@dataclass(frozen=True)
class ServedUseCase:
    """One use case as the API serves it."""

    spec: UseCase
    lookup: Lookup
    scoring: Scoring | None = None

    @property
    def collections(self) -> list[FollowedCollection[Any]]:
        """The collections of the store that it follows."""
        features = self.scoring.features if self.scoring else None
        return [*([self.lookup.collection] if self.spec.serve.published else []), *([features] if features else [])]

    def facts(self) -> dict[str, Any]:
        """What the API shows of it: its declaration in short, and what is active."""
        version = self.lookup.collection.version
        entity = self.spec.entity
        return {
            "use_case": self.spec.name,
            "description": self.spec.description,
            "entity": {"key": entity.key, "type": entity.dtype},
            "predictions": sorted(self.spec.predictions.columns),
            "lookup": self.spec.serve.lookup,
            "on_the_fly": self.spec.serve.on_the_fly is not None,
            "fallback": self.spec.serve.fallback.use_case if self.spec.serve.fallback else None,
            "generation": version.number if version else None,
            "as_of": version.as_of if version else None,
            "model_version": version.model_version if version else None,
            "published_at": version.published_at if version else None,
        }


RETRY_BROKEN = 60
"""Seconds after which a client may ask again for a use case whose declarations are broken: a new version must be
deployed."""


class Service:
    """The handlers of /v1 over the served use cases."""

    def __init__(
        self,
        use_cases: Mapping[str, ServedUseCase],
        metrics: ApiMetrics,
        log: PredictionLog,
        *,
        body_bytes: int,
        broken: Collection[str] = (),
    ) -> None:
        self._use_cases, self._metrics, self._log, self._body_bytes = use_cases, metrics, log, body_bytes
        self._broken = broken

    async def list_use_cases(self, request: HttpRequest) -> Answer:
        """Every use case that the caller's key covers."""
        covered = [self._use_cases[name] for name in sorted(self._use_cases) if request.allows(name)]
        return Answer(200, orjson.dumps({"use_cases": [served.facts() for served in covered]}), (JSON, NO_STORE))

    async def describe(self, request: HttpRequest) -> Answer:
        """One use case."""
        return Answer(200, orjson.dumps(self._served(request).facts()), (JSON, NO_STORE))

    async def lookup(self, request: HttpRequest) -> Answer:
        """The published prediction of one entity."""
        served = self._looked_up(request)
        answer = await served.lookup.one(request, request.params[1])
        return self._noted(request, served, answer, 1)

    async def batch_get(self, request: HttpRequest) -> Answer:
        """The published predictions of many entities."""
        served = self._looked_up(request)
        body = await request.json_object(self._body_bytes, BODY_SECONDS, _BATCH_MEMBERS)
        ids = body.get("ids")
        if type(ids) is not list:
            raise bad_request("ids must be an array.")
        answer = await served.lookup.many(ids)
        request.facts["ids"] = len(ids)
        return self._noted(request, served, answer, len(ids))

    async def score(self, request: HttpRequest) -> Answer:
        """A prediction for what the request brings."""
        served = self._served(request)
        if served.scoring is None:
            raise Problem("not-offered", "The use case declares neither serve.on_the_fly nor serve.fallback.")
        body = await request.json_object(self._body_bytes, BODY_SECONDS, MEMBERS)
        answer = await served.scoring.answer(body)
        return self._noted(request, served, answer, 1)

    def _noted(self, request: HttpRequest, served: ServedUseCase, answer: Answer, predictions: int) -> Answer:
        self._metrics.counted(served.spec.name, answer.source)(predictions)
        if answer.status == 200:
            self._log.note(request, served.spec.name, answer)
        return answer

    def _served(self, request: HttpRequest) -> ServedUseCase:
        """The use case that the path names; to a key that does not cover it, its existence is not disclosed."""
        name = request.params[0]
        if not request.allows(name):
            raise Problem("forbidden", "The key does not cover the use case of the path.")
        served = self._use_cases.get(name)
        if name in self._broken:
            raise Problem("unavailable", "The declarations of the use case cannot be loaded.", retry_after=RETRY_BROKEN)
        if served is None:
            raise Problem("no-such-use-case")
        request.facts["use_case"] = name
        return served

    def _looked_up(self, request: HttpRequest) -> ServedUseCase:
        served = self._served(request)
        if not served.spec.serve.lookup:
            raise Problem("not-offered", "The use case declares serve.lookup=False.")
        return served
