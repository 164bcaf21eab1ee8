"""The documentation that the server gives. Not here: whether the server keeps to it (test_fuzz.py)."""

from __future__ import annotations

from tests.serving.world import World


def test_documentation_fetches_nothing_from_elsewhere(world: World) -> None:
    """The page and its files come from this server alone, and its policy forbids any other."""
    page = world.get("/docs")
    assert b"http" not in page.body.replace(b"<!doctype html>", b"")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for file in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert world.get(f"/docs/assets/{file}").status == 200
    assert world.get("/docs/assets/..%2f..%2fcore.py").status == 404
