"""The documentation that the server gives. Not here: whether the server keeps to it (test_fuzz.py)."""

from __future__ import annotations

from serving_assets.serving.http.problems import PROBLEMS
from tests.serving.world import World


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
