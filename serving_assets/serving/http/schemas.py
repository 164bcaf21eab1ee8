"""JSON schemas of requests and answers.

Here: the shapes, typed by a use case's declaration. Not here: which route has which (openapi.py).
"""

from __future__ import annotations

from typing import Any

from serving_assets.catalog.columns import Bounds
from serving_assets.catalog.entity_ids import MOST_CHARACTERS
from serving_assets.catalog.spec import UseCase

Schema = dict[str, Any]

REASONS = {
    "published": "It has a published prediction, and that is fresh enough.",
    "requested": "The request brings features, or the use case is always scored on the fly.",
    "no_entity": "The request has no entity_id.",
    "unknown_entity": "It has no published prediction.",
    "too_old": "Its published prediction is older than declared.",
    "no_stored_features": "It has no stored features.",
    "store_down": "The store is out of reach, and the declaration provides this answer for that case.",
}
"""Why an answer has its source."""

TEXT: Schema = {"type": "string"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
BOOL: Schema = {"type": "boolean"}


def closed(members: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object with exactly these members."""
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def entity_id(spec: UseCase) -> Schema:
    """An id in JSON."""
    if spec.entity.dtype == "int64":
        return {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": MOST_CHARACTERS,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
    }


def _number(bounds: Bounds) -> Schema:
    sides = {"minimum": bounds.minimum, "maximum": bounds.maximum}
    return {"type": "number", **{side: value for side, value in sides.items() if value is not None}}


def prediction(spec: UseCase) -> Schema:
    """The published columns."""
    return closed({name: _number(bounds) for name, bounds in spec.predictions.columns.items()})


def provenance(spec: UseCase) -> dict[str, Schema]:
    """The members of a prediction, with its provenance."""
    return {
        "entity_id": entity_id(spec),
        "prediction": prediction(spec),
        "as_of": INSTANT,
        "model_version": TEXT,
        "age_seconds": COUNT,
    }


def looked_up(spec: UseCase) -> Schema:
    """The answer of a look-up."""
    return closed(
        {"use_case": {"const": spec.name}, "source": {"const": "batch"}}
        | provenance(spec)
        | {"generation": COUNT, "stale": BOOL}
    )


def batch_request(spec: UseCase, most: int) -> Schema:
    """The body of a batchGet."""
    return closed({"ids": {"type": "array", "items": entity_id(spec), "minItems": 1, "maxItems": most}})


def batch(spec: UseCase) -> Schema:
    """The answer of a batchGet."""
    found = closed({"status": {"const": "found"}, **provenance(spec)})
    absent = closed({"status": {"enum": ["not_found", "expired"]}, "entity_id": entity_id(spec)})
    return closed(
        {
            "use_case": {"const": spec.name},
            "source": {"const": "batch"},
            "generation": COUNT,
            "as_of": INSTANT,
            "model_version": TEXT,
            "age_seconds": COUNT,
            "stale": BOOL,
            "items": {"type": "array", "items": {"oneOf": [found, absent]}},
        }
    )


def score_request(spec: UseCase) -> Schema:
    """The body of a score request; which features a model takes changes with it, so they are not listed here."""
    value: Schema = {"type": ["number", "string", "boolean", "null"]}
    features: Schema = {"type": "object", "additionalProperties": value}
    explain: Schema = {"enum": ["features"]}
    members = {"entity_id": nullable(entity_id(spec)), "features": nullable(features), "explain": nullable(explain)}
    return closed(members, optional=tuple(members))


def scored(spec: UseCase) -> Schema:
    """The answer of a score request."""
    value = closed(
        {
            "value": {"type": ["number", "string", "boolean", "null"]},
            "origin": {"enum": ["request", "store", "stream", "default", "missing"]},
        }
    )
    members: dict[str, Schema] = {
        "use_case": {"const": spec.name},
        "source": {"enum": ["batch", "on_the_fly", "fallback"]},
        "reason": {"enum": list(REASONS)},
        "model": TEXT,
        "generation": nullable(COUNT),
        "stale": BOOL,
        "features": {"type": "object", "additionalProperties": value},
    }
    return closed(provenance(spec) | {"entity_id": nullable(entity_id(spec))} | members, optional=("features",))


def use_case() -> Schema:
    """A use case as the API shows it."""
    return closed(
        {
            "use_case": TEXT,
            "description": TEXT,
            "entity": closed({"key": TEXT, "type": {"enum": ["int64", "string"]}}),
            "predictions": {"type": "array", "items": TEXT},
            "lookup": BOOL,
            "on_the_fly": BOOL,
            "fallback": nullable(TEXT),
            "generation": nullable(COUNT),
            "as_of": nullable(INSTANT),
            "model_version": nullable(TEXT),
            "published_at": nullable(INSTANT),
        }
    )


def problem() -> Schema:
    """An answer of RFC 9457; further members depend on its kind."""
    members = {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "request_id": TEXT}
    return {"type": "object", "properties": members, "required": ["type", "title", "status", "request_id"]}


def health() -> Schema:
    """The state of the process, by use case."""
    state = closed({"status": TEXT, "generation": nullable(COUNT), "reason": TEXT}, optional=("generation", "reason"))
    return closed(
        {
            "status": {"enum": ["ok", "unavailable"]},
            "use_cases": {"type": "object", "additionalProperties": state},
        },
        optional=("use_cases",),
    )
