"""The application put together: settings and catalog in, ASGI out.

Here: which parts there are, the table of routes, what runs in the background. Not here: what any part does.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from serving_assets.catalog.discovery import Catalog
from serving_assets.catalog.names import (
    activations_table,
    feature_activations_table,
    features_collection,
    predictions_collection,
)
from serving_assets.catalog.spec import UseCase
from serving_assets.serving.app import Api
from serving_assets.serving.health import Health
from serving_assets.serving.http.docs_page import Docs
from serving_assets.serving.http.guard import Guard
from serving_assets.serving.http.routes import Route
from serving_assets.serving.live_model import LiveModel
from serving_assets.serving.lookup import Lookup, fragment
from serving_assets.serving.reading.collection import FollowedCollection
from serving_assets.serving.reading.features import keep_features
from serving_assets.serving.reading.reader import Reader, open_reader
from serving_assets.serving.reading.remembered import LakeMemory
from serving_assets.serving.scoring import ModelWithDefaults, Scoring
from serving_assets.serving.service import ServedUseCase, Service
from serving_assets.serving.telemetry.logs import JsonLog
from serving_assets.serving.telemetry.metrics import ApiMetrics
from serving_assets.serving.telemetry.prediction_log import PredictionLog
from serving_assets.serving.telemetry.spans import open_spans
from serving_assets.settings import Settings
from serving_assets.store import Found

T = TypeVar("T")

FIRST_LOOK_SECONDS = 2.0
MEGABYTE = 1 << 20


def build_api(settings: Settings, catalog: Catalog, *, public: bool, workers: int, log: JsonLog) -> Api:
    """Build the application over `catalog` with `settings`; `public` when other machines can reach it.

    Raises:
        InputError: the store's uri, the file of the keys or OpenTelemetry's variables cannot be understood.
    """
    reader, metrics = open_reader(settings.store, settings.mongodb), ApiMetrics()
    specs = {name: bound.spec for name, bound in catalog.use_cases.items()}
    models = {name: LiveModel(name, settings.bundles_dir, log.write) for name in _scored(specs.values())}
    parts = Parts(settings, reader, metrics, models, specs)
    use_cases = {name: parts.served(spec) for name, spec in specs.items()}
    health = Health(use_cases, metrics)
    docs = Docs(specs, settings)
    wanted = {name: spec.serve.log for name, spec in specs.items() if spec.serve.log}
    answers = PredictionLog(settings.landing, wanted, metrics.log_dropped.inc)
    service = Service(use_cases, metrics, answers, body_bytes=settings.api_body_bytes, broken=catalog.broken_use_cases)
    docs.routes = table(service, health, docs)
    watched = [collection.watch for served in use_cases.values() for collection in served.collections]
    api = Api(
        docs.routes,
        guard=Guard(settings.api_keys_file, public=public, workers=workers),
        background=_background(reader, use_cases, models.values(), [*watched, health.pulse], answers, log),
        metrics=metrics,
        log=log,
        most=settings.api_concurrency,
        seconds=settings.api_request_seconds,
        spans=open_spans(os.environ),
        origins=frozenset(settings.api_cors_origins.encode().split(b",")) - {b""},
    )
    health.in_flight = lambda: api.in_flight
    return api


def table(service: Service, health: Health, docs: Docs) -> tuple[Route, ...]:
    """Every route there is."""
    one = "/v1/use-cases/{use_case}"
    return (
        Route("GET", f"{one}/predictions/{{entity_id}}", service.lookup, "lookup"),
        Route("POST", f"{one}/predictions:batchGet", service.batch_get, "batch_get"),
        Route("POST", f"{one}/score", service.score, "score"),
        Route("GET", one, service.describe, "describe"),
        Route("GET", "/v1/use-cases", service.list_use_cases, "list_use_cases"),
        Route("GET", "/livez", health.live, "live", open=True, vital=True),
        Route("GET", "/readyz", health.ready, "ready", open=True, vital=True),
        Route("GET", "/metrics", health.metrics, "metrics", vital=True),
        Route("GET", "/openapi.json", docs.openapi, "openapi"),
        Route("GET", "/docs", docs.page, "docs", open=True),
        Route("GET", "/docs/problems", docs.problems, "problems", open=True),
        Route("GET", "/docs/assets/{file}", docs.asset, "asset", open=True),
    )


@dataclass(frozen=True)
class Parts:
    """What the served use cases are made from."""

    settings: Settings
    reader: Reader
    metrics: ApiMetrics
    models: Mapping[str, LiveModel]
    specs: Mapping[str, UseCase]

    def served(self, spec: UseCase) -> ServedUseCase:
        """One use case with all that it declares to serve."""
        published = self._collection(predictions_collection(spec.name), activations_table(spec.name), fragment)
        lookup = Lookup(spec, published, most_ids=self.settings.api_batch_ids)
        serve = spec.serve
        if serve.on_the_fly is None and serve.fallback is None:
            return ServedUseCase(spec, lookup)
        stored = None
        if serve.on_the_fly is not None and serve.on_the_fly.stored_features:
            stored = self._collection(
                features_collection(spec.name), feature_activations_table(spec.name), keep_features
            )
        champion = self._model(spec.name) if serve.on_the_fly else None
        fallback = self._model(serve.fallback.use_case) if serve.fallback else None
        return ServedUseCase(spec, lookup, Scoring(spec, lookup, stored, champion, fallback))

    @property
    def _cache_bytes(self) -> int:
        """Of one collection, so that all that are followed keep to the setting together."""
        serves = [spec.serve for spec in self.specs.values()]
        features = sum(serve.on_the_fly is not None and serve.on_the_fly.stored_features for serve in serves)
        followed = sum(serve.published for serve in serves) + features
        return self.settings.api_cache_mb * MEGABYTE // max(followed, 1)

    def _model(self, name: str) -> ModelWithDefaults:
        declared = self.specs[name].serve.on_the_fly
        return ModelWithDefaults(self.models[name], declared.defaults if declared else {})

    def _collection(self, name: str, log: str, keep: Callable[[Found], tuple[T, int]]) -> FollowedCollection[T]:
        return FollowedCollection(
            name,
            self.reader,
            keep,
            cache_bytes=self._cache_bytes,
            seconds=self.settings.api_store_seconds,
            event=lambda event, number: self.metrics.event(name, event)(number),
            remembered=LakeMemory(self.settings.lake, log).newest,
        )


def _scored(specs: Iterable[UseCase]) -> set[str]:
    """The models that are scored on the fly."""
    own = {spec.name for spec in specs if spec.serve.on_the_fly}
    return own | {spec.serve.fallback.use_case for spec in specs if spec.serve.fallback}


@asynccontextmanager
async def _background(
    reader: Reader,
    use_cases: Mapping[str, ServedUseCase],
    models: Iterable[LiveModel],
    watched: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    answers: PredictionLog,
    log: JsonLog,
) -> AsyncIterator[None]:
    """Follow models and collections; the first look is waited for, so that the first request finds it done."""
    answers.start()
    for model in models:
        await model.look()
    tasks = [_forever(watch(), log) for watch in (*watched, *(model.watch for model in models))]
    collections = [collection for served in use_cases.values() for collection in served.collections]
    deadline = asyncio.get_running_loop().time() + FIRST_LOOK_SECONDS
    while any(c.version is None for c in collections) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        answers.close()
        await reader.close()


def _forever(work: Coroutine[Any, Any, None], log: JsonLog) -> asyncio.Task[None]:
    """A task that must not end: when it does, the process stops, so that its supervisor restarts it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.write("bug", message="A background task has ended; the process stops.", error=repr(task.exception()))
            os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.ensure_future(work)
    task.add_done_callback(ended)
    return task
