"""Spans for OpenTelemetry, received by a real OTLP/HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from serving_assets.errors import InputError
from serving_assets.serving.telemetry.spans import open_spans
from tests.serving.world import BUYS, ROOT, World

pytestmark = pytest.mark.long

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ONE = "/v1/use-cases/{use_case}/predictions/{entity_id}"


class Receiver:
    """Takes what is exported to `endpoint`; with `broken` it refuses everything."""

    def __init__(self, *, broken: bool = False) -> None:
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not broken and self.path == "/v1/traces":
                    receiver.take(decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(503 if broken else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        """Keep what an export brings."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def receiver(*, broken: bool = False) -> Iterator[Receiver]:
    """A receiver that listens."""
    found = Receiver(broken=broken)
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()


def facts(span: Span) -> dict[str, Any]:
    """Its attributes."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def test_every_request_has_a_span_in_its_callers_trace(own_world: World) -> None:
    """With a receiver configured each request but probes becomes a span, below its caller's; none has an id in it."""
    with receiver() as found:
        with own_world.served(
            OTEL_EXPORTER_OTLP_ENDPOINT=found.endpoint, OTEL_RESOURCE_ATTRIBUTES="team=shop"
        ) as world:
            known = world.get(f"{ROOT}/{BUYS}/predictions/7", traceparent=f"00-{TRACE}-{CALLER}-01", x_request_id="one")
            world.get(f"{ROOT}/{BUYS}/predictions/424242")
            world.get(f"{ROOT}/{BUYS}/predictions/7", traceparent=f"00-{TRACE}-{CALLER}-00")
            world.batch(BUYS, [7, 8, 9])
            world.get("/nowhere/424242", traceparent="no trace at all")
        logged = [line for line in world.log() if line["event"] == "request" and line["route"] != "/livez"]
    assert {(one["service.name"], one["team"]) for one in found.resources} == {("serving-assets-api", "shop")}
    one, absent, batch, nowhere = found.spans
    assert (one.trace_id.hex(), one.parent_span_id.hex(), one.kind) == (TRACE, CALLER, Span.SPAN_KIND_SERVER)
    assert one.name == f"GET {ONE}"
    assert one.start_time_unix_nano < one.end_time_unix_nano
    assert facts(one) == {
        "http.request.method": "GET",
        "http.response.status_code": known.status,
        "http.route": ONE,
        "url.scheme": "http",
        "serving_assets.request_id": "one",
        "serving_assets.source": "batch",
        "serving_assets.use_case": BUYS,
    }
    assert facts(absent)["http.response.status_code"] == 404
    assert not absent.parent_span_id
    assert facts(batch)["serving_assets.ids"] == 3
    assert (nowhere.name, nowhere.status.code) == ("_OTHER", Status.STATUS_CODE_UNSET)
    assert [(line["trace_id"], line["span_id"]) for line in logged if line["parent_id"] != CALLER] == [
        (span.trace_id.hex(), span.span_id.hex()) for span in (absent, batch, nowhere)
    ]
    assert "424242" not in str(found.spans)


def test_a_receiver_that_is_down_costs_nothing(own_world: World) -> None:
    """While exports fail requests are answered, and the server still ends with exit code 0 within its grace time."""
    with receiver(broken=True) as found:
        with own_world.served(OTEL_EXPORTER_OTLP_ENDPOINT=found.endpoint, OTEL_BSP_SCHEDULE_DELAY="50") as world:
            assert {world.look_up(BUYS, 7).status for _ in range(50)} == {200}
        assert world.process is not None
        assert world.process.returncode == 0


def test_nothing_is_imported_unless_it_is_configured(own_world: World) -> None:
    """A server without a receiver never imports OpenTelemetry, nor does one whose variables turn it off."""
    assert open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}) is None
    assert open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}) is None
    with own_world.served(PYTHONPROFILEIMPORTTIME="1") as world:
        assert world.look_up(BUYS, 7).status == 200
        assert world.score(BUYS, features={"f0": 1.0}).status == 200
    imported = (own_world.data / "server.log").read_text()
    assert "uvicorn" in imported
    assert "opentelemetry" not in imported


def test_another_protocol_is_refused() -> None:
    """Whoever configures what is not spoken learns so at the start, with the fix."""
    with pytest.raises(InputError, match="http/protobuf"):
        open_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_a_missing_package_is_named(own_world: World) -> None:
    """A server that is to trace without the packages for it says which extra has them, and does not start."""
    blocked = own_world.data / "sitecustomize.py"
    blocked.write_text("import sys\nsys.modules['opentelemetry.sdk.trace'] = None\n")
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": str(own_world.data)}
    with (
        pytest.raises(AssertionError, match=r"pip install 'serving-assets\[otel\]'"),
        own_world.served(fresh=True, **settings),
    ):
        pass
