"""Liveness, readiness and metrics of this process.

Here: /livez, /readyz and /metrics, and the pulse that keeps the gauges current. Not here: counting
(serving/telemetry/metrics.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson

from serving_assets.serving.http.answer import JSON, NO_STORE, Answer
from serving_assets.serving.http.problems import Problem
from serving_assets.serving.http.request import HttpRequest
from serving_assets.serving.service import ServedUseCase
from serving_assets.serving.telemetry.metrics import ApiMetrics

PULSE_SECONDS = 1.0
METRICS_SCOPE = "metrics"


class Health:
    """The handlers, over the served use cases. `in_flight` counts the requests that are being answered."""

    in_flight: Callable[[], int] = staticmethod(lambda: 0)

    def __init__(self, use_cases: Mapping[str, ServedUseCase], metrics: ApiMetrics) -> None:
        self._use_cases, self._metrics = use_cases, metrics
        self._versions: dict[str, str] = {}

    async def live(self, request: HttpRequest) -> Answer:
        """Liveness: the process answers."""
        return Answer(200, b'{"status":"ok"}', (JSON, NO_STORE))

    async def ready(self, request: HttpRequest) -> Answer:
        """Readiness: every model is loaded, every collection in reach or held in part.

        A store that is down takes no warm process out of rotation: all would leave at once, with what they hold. Which
        use cases there are is shown to keys that cover them.
        """
        states = {name: self._state(served) for name, served in self._use_cases.items()}
        usable = all(state["status"] != "unavailable" for state in states.values())
        shown = {name: state for name, state in states.items() if request.allows(name)}
        body = {"status": "ok" if usable else "unavailable", "use_cases": shown}
        return Answer(200 if usable else 503, orjson.dumps(body), (JSON, NO_STORE))

    async def metrics(self, request: HttpRequest) -> Answer:
        """The metrics in Prometheus' format."""
        if not request.allows(METRICS_SCOPE):
            raise Problem("forbidden", "The key does not have the scope metrics.")
        text, kind = self._metrics.text()
        return Answer(200, text, ((b"content-type", kind), NO_STORE))

    async def pulse(self) -> None:
        """Set the gauges once a second, for ever."""
        while True:
            for name, served in self._use_cases.items():
                self._gauge(name, served)
            self._metrics.in_flight.set(self.in_flight())
            await asyncio.sleep(PULSE_SECONDS)

    def _gauge(self, name: str, served: ServedUseCase) -> None:
        metrics = self._metrics
        metrics.up.labels(name).set(all(collection.down is None for collection in served.collections))
        metrics.cache_bytes.labels(name).set(sum(collection.cached_bytes for collection in served.collections))
        if version := served.lookup.collection.version:
            metrics.generation.labels(name).set(version.number)
            metrics.as_of.labels(name).set(datetime.fromisoformat(version.as_of).timestamp())
        for model in served.scoring.models if served.scoring else ():
            if model.current is not None:
                self._model(model.name, model.current.version)

    def _model(self, name: str, version: str) -> None:
        before = self._versions.get(name, version)
        if before != version:
            self._metrics.model.labels(name, before).set(0)  # taken away, it would stay in the folder of the workers
        self._metrics.model.labels(name, version).set(1)
        self._versions[name] = version

    def _state(self, served: ServedUseCase) -> dict[str, Any]:
        for model in served.scoring.models if served.scoring else ():
            if model.current is None:
                return {"status": "unavailable", "reason": model.fault}
        for collection in served.collections:
            if collection.down is not None:
                return {"status": "stale" if collection.cached_bytes else "unavailable", "reason": collection.down}
        version = served.lookup.collection.version
        return {"status": "ok", "generation": version.number if version else None}
