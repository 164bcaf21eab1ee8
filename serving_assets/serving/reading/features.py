"""The features of one request, each with where it comes from.

Here: which values a request may give, and which source wins. Not here: reading stored ones (collection.py), scoring
(serving/scoring.py).

A feature comes from the request, else from the store, else from a declared default, else it is missing. A null in the
request means missing, and no other source is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from serving_assets.models.signature import Feature, Signature, Value
from serving_assets.serving.http.problems import Problem, bad_request
from serving_assets.store import Found

LARGEST = 3.4028234663852886e38
"""Models see float32; beyond it a number would become infinite."""
MOST_CHARACTERS = 1_024

Values = Mapping[str, Value]


class Gathered(NamedTuple):
    """The features in the model's order, and of each where it comes from."""

    row: list[Value]
    origins: list[str]

    def explained(self, signature: Signature) -> dict[str, dict[str, Any]]:
        """Every feature with its value and origin."""
        return {
            name: {"value": value, "origin": origin}
            for name, value, origin in zip(signature.names, self.row, self.origins, strict=True)
        }


def keep_features(found: Found) -> tuple[Values, int]:
    """A stored document's features, and their size in memory: about five times their text."""
    return found.value, 5 * len(orjson.dumps(found.value))


def given_features(body: Any, *signatures: Signature) -> dict[str, Value]:
    """The features that a request brings, checked against the models that may take them.

    Raises:
        Problem: 400; it names features as they are declared, and never what was sent.
    """
    if body is None:
        return {}
    if type(body) is not dict:
        raise bad_request("features must be an object.")
    known = {feature.name: feature for signature in signatures for feature in signature.features}
    if not known.keys() >= body.keys():
        raise bad_request("features has a member that is no feature of the model.")
    for name, value in body.items():
        if not _fits(known[name], value):
            raise bad_request(f"features.{name} must be {_wanted(known[name])}, or null for missing.")
    return body


def gather(signature: Signature, given: Values, stored: Values | None, defaults: Values) -> Gathered:
    """The row that is scored.

    Raises:
        Problem: 422 when a feature that the model requires has no source; all of them are named.
    """
    row: list[Value] = []
    origins: list[str] = []
    for feature in signature.features:
        value, origin = _one(feature.name, given, stored, defaults)
        row.append(value)
        origins.append(origin)
    absent = [f.name for f, value in zip(signature.features, row, strict=True) if f.required and value is None]
    if absent:
        raise Problem("unscorable", f"The model requires {', '.join(absent)}: send them.")
    return Gathered(row, origins)


def _one(name: str, given: Values, stored: Values | None, defaults: Values) -> tuple[Value, str]:
    if name in given:
        return given[name], "request"
    if stored is not None and stored.get(name) is not None:
        return stored[name], "store"
    if name in defaults:
        return defaults[name], "default"
    return None, "store" if stored is not None and name in stored else "missing"


def _fits(feature: Feature, value: Any) -> bool:
    if value is None:
        return True
    if feature.is_string:
        return type(value) is str and len(value) <= MOST_CHARACTERS
    if feature.dtype == "bool":
        return type(value) is bool
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= LARGEST


def _wanted(feature: Feature) -> str:
    if feature.is_string:
        return f"text of at most {MOST_CHARACTERS} characters"
    return "true or false" if feature.dtype == "bool" else "a number that float32 can hold"
