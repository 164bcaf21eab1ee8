"""The metrics of this process, or of all workers together, for Prometheus.

Here: the metrics, and their text. Not here: where they are counted. No metric has an id, a key or a path as a label.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"


class ApiMetrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "serving_assets"}
        self._seconds = Histogram(
            "request_seconds",
            "Time from a request's head to the end of its answer.",
            ["method", "route", "code"],
            buckets=SECONDS,
            **made,
        )
        self._predictions = Counter("predictions", "Predictions answered.", ["use_case", "source"], **made)
        self._events = Counter(
            "collection_events",
            "Hits, misses and coalesced reads of the cache; stale and unavailable answers; flips of the generation.",
            ["collection", "event"],
            **made,
        )
        self.log_dropped = Counter("prediction_log_dropped", "Sampled answers that were not logged.", **made)
        recent: dict[str, Any] = {**made, "multiprocess_mode": "mostrecent"}
        self.as_of = Gauge("as_of_seconds", "As-of instant of what is served, since the epoch.", ["use_case"], **recent)
        self.generation = Gauge("generation", "Active generation.", ["use_case"], **recent)
        self.up = Gauge("store_up", "Whether the store was readable at the last look.", ["use_case"], **recent)
        self.model = Gauge("model_info", "1 for the model that scores on the fly.", ["model", "version"], **recent)
        self.in_flight = Gauge("requests_in_flight", "Requests being answered.", multiprocess_mode="livesum", **made)
        self.cache_bytes = Gauge("cache_bytes", "Held in memory.", ["use_case"], multiprocess_mode="livesum", **made)
        self.observe = cache(self._observed)
        self.counted = cache(self._counted)
        self.event = cache(self._event)

    def _observed(self, method: str, route: str, code: int) -> Any:
        """The function that takes the seconds of one request; as many as there are routes and codes."""
        return self._seconds.labels(method, route, str(code)).observe

    def _counted(self, use_case: str, source: str) -> Any:
        """The function that counts predictions of one source."""
        return self._predictions.labels(use_case, source).inc

    def _event(self, collection: str, event: str) -> Any:
        """The function that counts one event of a collection."""
        return self._events.labels(collection, event).inc

    def text(self) -> tuple[bytes, bytes]:
        """The exposition and its content type; of all workers where they share a folder."""
        registry = self.registry
        if SHARED_DIR in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST.encode()
