"""The OpenAPI document against the server that serves it."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving_assets.serving.problems import PROBLEMS
from tests.serving.world import World

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))
"""Requests per operation and mode; benchmarks and long nights set more."""

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_documented(world: World, mode: GenerationMode) -> None:
    """Whatever is asked, valid or not, the answer's status, type and shape are those of the document."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{world.port}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {"/livez", "/v1/use-cases"} <= {operation.path for operation in operations}
    for operation in operations:
        _ask(operation, mode)


def _ask(operation: Any, mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    def answers(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    try:
        answers()
    except Unsatisfiable:  # an operation that takes nothing cannot be asked wrongly
        assert mode is GenerationMode.NEGATIVE


def test_problems_are_explained(world: World) -> None:
    """Every kind of problem has a paragraph where its type points to."""
    page = world.get("/docs/problems").body.decode()
    assert [code for code in PROBLEMS if f'id="{code}"' not in page] == []


def test_documentation_fetches_nothing_from_elsewhere(world: World) -> None:
    """The page and its files come from this server alone, and its policy forbids any other."""
    page = world.get("/docs")
    assert b"http" not in page.body.replace(b"<!doctype html>", b"")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for file in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert world.get(f"/docs/assets/{file}").status == 200
    assert world.get("/docs/assets/..%2f..%2fcore.py").status == 404
