"""The OpenAPI document, made of the table of routes and of the declarations.

Here: the operations with their examples. Not here: the shapes (schemas.py), the problems (problems.py).

A route with a use case in its path is documented once for each, with its own types: what a front end's generated
client then knows is what this server takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from serving_assets.catalog.spec import UseCase
from serving_assets.serving.http import schemas
from serving_assets.serving.http.problems import PAGE, PROBLEM_TYPES
from serving_assets.serving.http.routes import Route
from serving_assets.settings import Settings

Operation = dict[str, Any]

ALWAYS = ("too-busy", "too-slow", "internal-error")
WITH_KEY = ("unauthorized", "forbidden", "too-many-requests", "misdirected-request")
WITH_BODY = (
    "invalid-request",
    "request-timeout",
    "too-large",
    "unsupported-media-type",
    "unsupported-content-encoding",
)


def document(routes: Sequence[Route], use_cases: Sequence[UseCase], settings: Settings) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if "{use_case}" not in route.template:
            paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, None, settings)
            continue
        for spec in use_cases:
            if _offered(route, spec):
                path = route.template.replace("{use_case}", spec.name)
                paths.setdefault(path, {})[route.method.lower()] = _operation(route, spec, settings)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Prediction API",
            "version": "1",
            "description": "Predictions made ahead of time, and on the fly. Every answer names its source.",
        },
        "servers": [{"url": settings.api_root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": schemas.problem()},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _offered(route: Route, spec: UseCase) -> bool:
    if route.doc == "score":
        return spec.serve.on_the_fly is not None or spec.serve.fallback is not None
    return spec.serve.lookup or route.doc not in ("lookup", "batch_get")


def _operation(route: Route, spec: UseCase | None, settings: Settings) -> Operation:
    found = _DESCRIBED[route.doc](spec, settings)
    name = f"{route.doc}_{spec.name}" if spec else route.doc
    security: list[dict[str, list[str]]] = [] if route.open else [{}, {"key": []}, {"bearer": []}]
    kinds = (*ALWAYS, *(() if route.open else WITH_KEY), *found.pop("problems", ()))
    found["responses"] |= _problems(kinds, settings.api_root_path)
    return {"operationId": name, "security": security, "tags": [spec.name if spec else "server"], **found}


def _problems(keys: Iterable[str], root_path: str) -> dict[str, Any]:
    """One response per status; its examples are the types of problem that have it."""
    responses: dict[str, Any] = {}
    for key in dict.fromkeys(keys):
        status, title, hint = PROBLEM_TYPES[key]
        one = responses.setdefault(str(status), {"description": "", "content": {"application/problem+json": {}}})
        one["description"] = f"{one['description']} {title}: {hint}".strip()
        content = one["content"]["application/problem+json"]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        example = {"type": f"{root_path}{PAGE}#{key}", "title": title, "status": status, "request_id": "5f2a-1"}
        content.setdefault("examples", {})[key] = {"value": example}
    return responses


def _json(description: str, schema: schemas.Schema, example: Any = None, **headers: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    shown = {name.replace("_", "-"): {"description": text, "schema": schemas.TEXT} for name, text in headers.items()}
    return {"description": description, "content": {"application/json": content}, "headers": shown}


def _example_id(spec: UseCase) -> int | str:
    return 733 if spec.entity.dtype == "int64" else "a-733"


def _example(spec: UseCase) -> dict[str, Any]:
    return {
        "entity_id": _example_id(spec),
        "prediction": {name: bounds.maximum or 1.0 for name, bounds in spec.predictions.columns.items()},
        "as_of": "2026-11-22T05:00:00+00:00",
        "model_version": "1",
        "age_seconds": 3600,
    }


def _lookup(spec: UseCase | None, settings: Settings) -> Operation:
    assert spec is not None
    head = {"use_case": spec.name, "source": "batch"}
    return {
        "summary": f"The published prediction of one {spec.entity.key}",
        "description": spec.description,
        "parameters": [
            {"name": "entity_id", "in": "path", "required": True, "schema": schemas.entity_id(spec)}
            | {"example": _example_id(spec)},
            {"name": "if-none-match", "in": "header", "required": False, "schema": schemas.TEXT}
            | {"description": "The etag of the answer that the client holds."},
        ],
        "responses": {
            "200": _json(
                "The prediction and its provenance.",
                schemas.looked_up(spec),
                head | _example(spec) | {"generation": 5, "stale": False},
                etag="Changes with the generation.",
                cache_control="How long the answer may be kept: until the next publish is due.",
            ),
            "304": {"description": "The answer that the client holds is still current."},
        },
        "problems": ("invalid-request", "not-found", "expired", "unavailable"),
    }


def _batch_get(spec: UseCase | None, settings: Settings) -> Operation:
    assert spec is not None
    example = {
        "use_case": spec.name,
        "source": "batch",
        "generation": 5,
        "as_of": "2026-11-22T05:00:00+00:00",
        "model_version": "1",
        "age_seconds": 3600,
        "stale": False,
        "items": [{"status": "found", **_example(spec)}],
    }
    schema = schemas.batch_request(spec, settings.api_batch_ids)
    return {
        "summary": "The published predictions of many entities, in the order of the ids, all of one generation",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": {"ids": [_example_id(spec)]}}},
        },
        "responses": {"200": _json("One item for each id.", schemas.batch(spec), example)},
        "problems": (*WITH_BODY, "unavailable"),
    }


def _score(spec: UseCase | None, settings: Settings) -> Operation:
    assert spec is not None
    example = {
        "use_case": spec.name,
        "source": "fallback",
        "reason": "unknown_entity",
        **_example(spec),
        "age_seconds": 0,
        "model": spec.serve.fallback.use_case if spec.serve.fallback else spec.name,
        "generation": None,
        "stale": False,
    }
    body = {"schema": schemas.score_request(spec), "example": {"entity_id": _example_id(spec), "features": {}}}
    return {
        "summary": "A prediction for the entity and features of the request",
        "description": "The answer names its source, and the reason for it.",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": _json("The prediction and its provenance.", schemas.scored(spec), example)},
        "problems": (*WITH_BODY, "unscorable", "unavailable"),
    }


def _describe(spec: UseCase | None, settings: Settings) -> Operation:
    return {
        "summary": "One use case: its declaration, and the active generation",
        "responses": {"200": _json("The use case.", schemas.use_case())},
    }


def _list(spec: UseCase | None, settings: Settings) -> Operation:
    schema = schemas.closed({"use_cases": {"type": "array", "items": schemas.use_case()}})
    return {"summary": "The use cases that the key covers", "responses": {"200": _json("The use cases.", schema)}}


def _live(spec: UseCase | None, settings: Settings) -> Operation:
    return {"summary": "Liveness", "responses": {"200": _json("The process is alive.", schemas.health())}}


def _ready(spec: UseCase | None, settings: Settings) -> Operation:
    return {
        "summary": "Readiness: whether the load balancer should send requests here",
        "responses": {
            "200": _json(
                "Ready: every model is loaded, and every collection is in reach or held in part.", schemas.health()
            ),
            "503": _json("Not ready; reason names what is missing.", schemas.health()),
        },
    }


def _text(summary: str, kind: str) -> Callable[[UseCase | None, Settings], Operation]:
    def described(spec: UseCase | None, settings: Settings) -> Operation:
        content = {kind: {"schema": schemas.TEXT}}
        return {"summary": summary, "responses": {"200": {"description": "The document.", "content": content}}}

    return described


def _openapi(spec: UseCase | None, settings: Settings) -> Operation:
    return {
        "summary": "The OpenAPI document",
        "responses": {"200": _json("The document, OpenAPI 3.1.", {"type": "object"})},
    }


def _asset(spec: UseCase | None, settings: Settings) -> Operation:
    files = {"enum": ["swagger-ui.css", "swagger-ui-bundle.js", "start.js"]}
    content = {kind: {"schema": schemas.TEXT} for kind in ("text/css", "text/javascript")}
    return {
        "summary": "A file of the documentation page",
        "parameters": [{"name": "file", "in": "path", "required": True, "schema": {"type": "string", **files}}],
        "responses": {"200": {"description": "The file.", "content": content}},
        "problems": ("no-such-route", "invalid-request"),
    }


_DESCRIBED: dict[str, Callable[[UseCase | None, Settings], Operation]] = {
    "lookup": _lookup,
    "batch_get": _batch_get,
    "score": _score,
    "describe": _describe,
    "list_use_cases": _list,
    "live": _live,
    "ready": _ready,
    "metrics": _text("Metrics for Prometheus", "text/plain"),
    "openapi": _openapi,
    "docs": _text("The documentation page", "text/html"),
    "problems": _text("The types of problems, with what to do about each", "text/html"),
    "asset": _asset,
}
