"""Problem details: one table of types, from which answers, OpenAPI and the page of problems are made."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving_assets.serving
from serving_assets.serving.http.keys import create_key
from serving_assets.serving.http.problems import PAGE, PROBLEM_TYPES, Problem
from tests.serving.test_hostile import raw
from tests.serving.world import BUYS, NEWCOMER, ROOT, TOWN, Reply, World

SOURCE = Path(serving_assets.serving.__file__).parent
TABLE = SOURCE / "http" / "problems.py"
SCORE = f"{ROOT}/{BUYS}/score"
BATCH = f"{ROOT}/{BUYS}/predictions:batchGet"


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the API's source."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def test_every_problem_is_raised_by_a_key_of_the_table() -> None:
    """What raises a problem names a type of the table, and each type of the table is raised somewhere."""
    raised = []
    for _, node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
            assert isinstance(node.args[0], ast.Constant), ast.unparse(node)
            raised.append(node.args[0].value)
    assert set(raised) == set(PROBLEM_TYPES)


def test_titles_and_statuses_stand_in_the_table_alone() -> None:
    """No other file of the API repeats a title, so an occurrence cannot have one of its own."""
    titles = {one.title for one in PROBLEM_TYPES.values()}
    assert len(titles) == len(PROBLEM_TYPES)
    again = [
        (path.name, node.value)
        for path, node in nodes()
        if path != TABLE and isinstance(node, ast.Constant) and node.value in titles
    ]
    assert again == []


def test_an_occurrence_cannot_change_its_type() -> None:
    """A key that is not in the table is a bug at once, never an answer of a type that is not documented."""
    with pytest.raises(KeyError):
        Problem("no-such-type")


def is_as_in_the_table(answer: Reply, key: str) -> None:
    """The answer is an occurrence of the type, with its one title and one status."""
    kind, body = PROBLEM_TYPES[key], answer.json
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["type"], body["title"], body["status"]) == (f"{PAGE}#{key}", kind.title, kind.status)
    assert answer.status == kind.status
    assert body["request_id"] == answer.headers["x-request-id"]


CAUSES: list[tuple[str, str, str, Any, dict[str, str]]] = [
    ("invalid-request", "GET", f"{ROOT}/{BUYS}/predictions/abc", None, {}),
    ("invalid-request", "POST", BATCH, {"ids": []}, {}),
    ("invalid-request", "POST", SCORE, b"{", {}),
    ("not-found", "GET", f"{ROOT}/{BUYS}/predictions/999999", None, {}),
    ("no-such-use-case", "GET", f"{ROOT}/none", None, {}),
    ("no-such-use-case", "POST", f"{ROOT}/none/score", {}, {}),
    ("no-such-route", "GET", "/nowhere", None, {}),
    ("no-such-route", "GET", "/docs/assets/nothing.js", None, {}),
    ("not-offered", "POST", f"{ROOT}/{TOWN}/score", {}, {}),
    ("not-offered", "GET", f"{ROOT}/{NEWCOMER}/predictions/1", None, {}),
    ("not-offered", "POST", f"{ROOT}/{NEWCOMER}/predictions:batchGet", {"ids": [1]}, {}),
    ("method-not-allowed", "DELETE", "/livez", None, {}),
    ("too-large", "POST", BATCH, b"x" * ((1 << 20) + 1), {}),
    ("unsupported-media-type", "POST", BATCH, b"{}", {"content-type": "text/plain"}),
    ("unsupported-content-encoding", "POST", SCORE, b"{}", {"content-encoding": "br"}),
    ("misdirected-request", "GET", ROOT, None, {"host": "evil.example"}),
]


@pytest.mark.parametrize(("key", "method", "path", "body", "headers"), CAUSES)
def test_a_problem_is_what_the_table_states(
    world: World, key: str, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    """Whatever causes a problem of a type, and on whichever route, it has the title and status of the type."""
    is_as_in_the_table(world.ask(method, path, body, headers), key)


def test_problems_of_the_socket_are_in_the_table_too(world: World) -> None:
    """What is refused before there is a request has the titles of the table as well."""
    assert PROBLEM_TYPES["invalid-http"].title.encode() in raw(world, b"nonsense\r\n\r\n")
    long = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: %b\r\n\r\n" % (b"a" * 40_000)
    assert PROBLEM_TYPES["head-too-large"].title.encode() in raw(world, long)


def test_problems_of_keys_and_pages_are_in_the_table_too(own_world: World) -> None:
    """Missing keys, scopes that do not cover, rates and origins have one title and status each, on every route."""
    keys = own_world.data / "api-keys.json"
    _, buys = create_key(keys, "buys", [BUYS], rate=None, days=None)
    _, slow = create_key(keys, "slow", [BUYS], rate=0.001, days=None)
    with own_world.served(API_CORS_ORIGINS="https://shop.example") as world:
        for path in (ROOT, f"{ROOT}/{BUYS}", "/metrics", "/openapi.json"):
            is_as_in_the_table(world.get(path), "unauthorized")
        for path in ("/metrics", f"{ROOT}/{TOWN}", f"{ROOT}/{TOWN}/predictions/a", f"{ROOT}/none"):
            is_as_in_the_table(world.get(path, x_api_key=buys), "forbidden")
        assert world.get(ROOT, x_api_key=slow).status == 200
        is_as_in_the_table(world.get(ROOT, x_api_key=slow), "too-many-requests")
        preflight = {"origin": "https://evil.example", "access-control-request-method": "GET"}
        is_as_in_the_table(world.ask("OPTIONS", ROOT, headers=preflight), "origin-not-allowed")


def test_documentation_is_made_of_the_table(world: World) -> None:
    """OpenAPI's examples and the page of problems give each type the title and status of the table."""
    page = world.get(PAGE).body.decode()
    for key, kind in PROBLEM_TYPES.items():
        assert f'id="{key}"' in page
        assert f"{kind.status}: " in page
    for path in world.get("/openapi.json").json["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
                for key, example in examples.items():
                    value = example["value"]
                    assert (value["type"], value["title"]) == (f"{PAGE}#{key}", PROBLEM_TYPES[key].title)
                    assert int(status) == value["status"] == PROBLEM_TYPES[key].status
