"""Spans of requests for OpenTelemetry, where it is configured.

Here: whether it is, one span a request, and sending them. Not here: names of requests and traces in logs (tracing.py).

Configured is what names a receiver: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, over HTTP. All
the rest follows OpenTelemetry's own variables: service name, resource, sampler, headers, batches. Without a receiver
none of its packages is imported. A thread sends; what it cannot send in time is dropped, never waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from importlib import metadata

from serving_assets.errors import InputError
from serving_assets.serving.http.answer import Answer
from serving_assets.serving.http.request import HttpRequest
from serving_assets.serving.http.routes import Route
from serving_assets.serving.telemetry.tracing import TraceContext

RECEIVERS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"
SERVICE = "serving-assets-api"
LAST_SECONDS = 5.0
"""How long the end of a process waits for its last spans to be sent."""


class Spans:
    """Where the spans of one process go.

    Raises:
        InputError: the packages of the extra `otel` are not installed.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise InputError(
                f"A receiver of traces is configured, but {error.name} is not installed.",
                hint=f"pip install 'serving-assets[otel]', or unset {' and '.join(RECEIVERS)}.",
            ) from error
        version = metadata.version("serving-assets")
        named = {} if environment.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE}
        resource = Resource.create({SERVICE_VERSION: version, **named})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("serving_assets.serving", version)
        self._propagator = TraceContextTextMapPropagator()
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR

    def record(
        self, request: HttpRequest, route: Route | None, answer: Answer, seconds: float, parent: str
    ) -> TraceContext:
        """Keep the span of a request that has just been answered after `seconds`; returns its place in its trace.

        No attribute has an id, a path or a key.
        """
        known = (b"traceparent", b"tracestate")
        carried = {name.decode(): request.headers[name].decode("latin-1") for name in known if name in request.headers}
        ended = time.time_ns()
        method = request.method if route else "_OTHER"
        span = self._tracer.start_span(
            f"{method} {route.template}" if route else method,
            context=self._propagator.extract(carried),
            kind=self._kind,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.request.method": method,
                "http.response.status_code": answer.status,
                "url.scheme": "http",
                "serving_assets.request_id": request.id,
                **({"http.route": route.template} if route else {}),
                **({"serving_assets.source": answer.source} if answer.source else {}),
                **({"serving_assets.client": request.client} if request.client else {}),
                **{f"serving_assets.{name}": value for name, value in request.facts.items()},
            },
        )
        if answer.status >= 500:
            span.set_status(self._error)
        span.end(ended)
        context = span.get_span_context()
        return TraceContext(f"{context.trace_id:032x}", parent, f"{context.span_id:016x}")

    def close(self) -> None:
        """Send what waits, for a while."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_SECONDS)


def open_spans(environment: Mapping[str, str]) -> Spans | None:
    """The spans that `environment` asks for; None when it names no receiver, or turns OpenTelemetry off.

    Raises:
        InputError: it asks for a protocol that is not spoken, or the packages are not installed.
    """
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    wanted = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if off or wanted == "none" or not any(environment.get(name) for name in RECEIVERS):
        return None
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), HTTP)
    if wanted != "otlp" or protocol != HTTP:
        raise InputError(
            f"Traces are sent as OTLP over {HTTP}, which OTEL_TRACES_EXPORTER or {PROTOCOLS[1]} contradicts.",
            hint=f"Set {PROTOCOLS[0]}={HTTP} and the receiver's port for it, or OTEL_TRACES_EXPORTER=none.",
        )
    return Spans(environment)
