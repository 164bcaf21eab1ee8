"""The application put together: settings and catalog in, ASGI out.

Here: which parts there are, the table of routes, what runs in the background. Not here: what any part does.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from serving_assets.catalog.discovery import Catalog
from serving_assets.catalog.spec import UseCase
from serving_assets.serving.app import Api
from serving_assets.serving.collection import Collection
from serving_assets.serving.docs_page import Docs
from serving_assets.serving.guard import Guard
from serving_assets.serving.health import Health
from serving_assets.serving.logs import JsonLog
from serving_assets.serving.lookup import Lookup, fragment
from serving_assets.serving.metrics import Metrics
from serving_assets.serving.reader import Reader, open_reader
from serving_assets.serving.routes import Route
from serving_assets.serving.service import Served, Service
from serving_assets.settings import Settings

FIRST_LOOK_SECONDS = 2.0
MEGABYTE = 1 << 20


def build_api(settings: Settings, catalog: Catalog, *, public: bool, workers: int, log: JsonLog) -> Api:
    """The application over `catalog`, as `settings` say; `public` when more than this machine can reach it.

    Raises:
        InputError: the store's uri or the file of the keys cannot be understood.
    """
    reader, metrics = open_reader(settings.store), Metrics()
    specs = {name: bound.spec for name, bound in catalog.use_cases.items()}
    share = settings.api_cache_mb * MEGABYTE // max(len(specs), 1)
    use_cases = {name: _served(spec, reader, metrics, settings, share) for name, spec in specs.items()}
    guard = Guard(settings.api_keys_file, public=public, workers=workers)
    health = Health(use_cases, metrics)
    service = Service(use_cases, metrics, body_bytes=settings.api_body_bytes)
    docs = Docs(specs, settings)
    routes = table(service, health, docs)
    docs.routes = routes
    return Api(
        routes,
        guard=guard,
        background=_background(reader, use_cases, health, log),
        metrics=metrics,
        log=log,
        most=settings.api_concurrency,
        seconds=settings.api_request_seconds,
        origins=frozenset(origin.strip().encode() for origin in settings.api_cors_origins.split(",") if origin),
    )


def table(service: Service, health: Health, docs: Docs) -> tuple[Route, ...]:
    """Every route there is."""
    one = "/v1/use-cases/{use_case}"
    return (
        Route("GET", f"{one}/predictions/{{entity_id}}", service.lookup, "lookup"),
        Route("POST", f"{one}/predictions:batchGet", service.batch_get, "batch_get"),
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


def _served(spec: UseCase, reader: Reader, metrics: Metrics, settings: Settings, cache_bytes: int) -> Served:
    collection = Collection(
        spec.name,
        reader,
        fragment,
        cache_bytes=cache_bytes,
        seconds=settings.api_store_seconds,
        event=lambda event: metrics.event(spec.name, event)(),
    )
    return Served(spec, Lookup(spec, collection, most_ids=settings.api_batch_ids))


@asynccontextmanager
async def _background(
    reader: Reader, use_cases: Mapping[str, Served], health: Health, log: JsonLog
) -> AsyncIterator[None]:
    """Follow every collection; the first look is waited for, so that the first request finds it done."""
    collections = [served.lookup.collection for served in use_cases.values()]
    tasks = [_forever(collection.watch(), log) for collection in collections] + [_forever(health.pulse(), log)]
    deadline = asyncio.get_running_loop().time() + FIRST_LOOK_SECONDS
    while any(c.version is None for c in collections) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await reader.close()


def _forever(work: Coroutine[Any, Any, None], log: JsonLog) -> asyncio.Task[None]:
    """A task whose end is a fault: the process stops, to be started anew by whoever looks after it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.write("bug", message="A background task has ended; the process stops.", error=repr(task.exception()))
            os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.ensure_future(work)
    task.add_done_callback(ended)
    return task
