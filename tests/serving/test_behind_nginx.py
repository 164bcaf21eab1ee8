"""The API behind a real nginx: kept connections, a path prefix, gzip, and ids with any character."""

from __future__ import annotations

import gzip
import http.client
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest

from serving_assets.serving.http.keys import create_key
from serving_assets.settings import Settings
from tests.serving.conftest import make_world
from tests.serving.nginx import documented, nginx, nginx_before
from tests.serving.world import BUYS, TOWN, World

pytestmark = [pytest.mark.must_run, pytest.mark.skipif(nginx() is None, reason="no nginx is installed")]

ML = "/ml"
ONE = f"{ML}/v1/use-cases/{BUYS}/predictions/7"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[tuple[World, str, Path]]:
    """A world as clients see it through nginx, a key for it, and nginx's folder."""
    made = make_world(tmp_path_factory.mktemp("behind"), bundles)
    _, key = create_key(made.data / "api-keys.json", "proxy", ["*"], rate=None, days=None)
    folder = tmp_path_factory.mktemp("nginx")
    with made.served(API_ROOT_PATH=ML) as world, nginx_before(world.port, folder) as port:
        yield replace(world, port=port), key, folder


def test_the_default_outlives_the_documented_proxy() -> None:
    """The server keeps an idle connection longer than the documented proxy, and than the usual 60 seconds."""
    (kept,) = re.findall(r"keepalive_timeout (\d+)s", documented())
    assert Settings().api_keep_alive_seconds > int(kept) >= 60


def test_connections_to_the_api_are_kept(behind: tuple[World, str, Path]) -> None:
    """Many requests of a client share its connection, and nginx answers none of them with an error of its own."""
    world, key, folder = behind
    with closing(http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)) as line:
        for _ in range(50):
            line.request("GET", ONE, headers={"x-api-key": key})
            answer = line.getresponse()
            assert (answer.status, answer.read()[:1]) == (200, b"{")
    assert "[error]" not in (folder / "error.log").read_text()


@pytest.mark.long
def test_a_connection_may_be_idle_for_as_long_as_the_proxy_keeps_it(behind: tuple[World, str, Path]) -> None:
    """After pauses around the proxy's minute every request is answered, never with a 502."""
    world, key, folder = behind
    for pause in (20, 61):
        assert world.get(ONE, x_api_key=key).status == 200
        time.sleep(pause)
        assert world.get(ONE, x_api_key=key).status == 200
    assert "[error]" not in (folder / "error.log").read_text()


@pytest.mark.parametrize("path", ["/docs", "/docs/problems", "/livez", "/readyz"])
def test_open_pages_are_there_under_the_prefix(behind: tuple[World, str, Path], path: str) -> None:
    """What needs no key is found under the prefix."""
    world, _, _ = behind
    assert world.get(ML + path).status == 200


def test_the_page_finds_its_files_under_the_prefix(behind: tuple[World, str, Path]) -> None:
    """Each address that the page and its script name leads, as a browser resolves it, to what they need."""
    world, key, _ = behind
    page = f"{ML}/docs"
    named = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', world.get(page).body.decode())
    assert len(named) == 3
    for address in named:
        assert world.get(urljoin(page, address)).status == 200
    script = world.get(urljoin(page, named[-1])).body.decode()
    fetched = set(re.findall(r'fetch\("([^"]+)"', script))
    assert len(fetched) == 1
    document = world.get(urljoin(page, fetched.pop()), x_api_key=key).json
    assert document["servers"] == [{"url": ML}]
    path = f"/v1/use-cases/{BUYS}/predictions/{{entity_id}}"
    assert path in document["paths"]
    assert world.get(document["servers"][0]["url"] + path.format(entity_id=7), x_api_key=key).status == 200


def test_a_problem_is_explained_where_its_type_points(behind: tuple[World, str, Path]) -> None:
    """A problem's type leads, under the prefix, to the page that explains it."""
    world, key, _ = behind
    problem = world.get(f"{ML}/v1/use-cases/{BUYS}/predictions/abc", x_api_key=key).json
    page, _, anchor = problem["type"].partition("#")
    assert f'id="{anchor}"' in world.get(page).body.decode()


def test_a_proxy_that_removes_the_prefix_reaches_the_same_routes(behind: tuple[World, str, Path]) -> None:
    """The API answers with and without the prefix in the path, and never with the prefix twice."""
    world, key, _ = behind
    straight = replace(world, port=_backend(world))
    assert straight.get(ONE, x_api_key=key).json == straight.get(ONE.removeprefix(ML), x_api_key=key).json
    assert straight.get(ML + ONE, x_api_key=key).status == 404


def _backend(world: World) -> int:
    """The port that the API itself listens on, as its log names it."""
    return next(int(line["port"]) for line in world.log() if line["event"] == "listening")


def test_gzip_in_both_directions(behind: tuple[World, str, Path]) -> None:
    """A gzip body passes the proxy, the answer is compressed by it, and its etag still gives 304."""
    world, key, _ = behind
    ids = list(range(1, 301))
    body = gzip.compress(b'{"ids": [' + ",".join(map(str, ids)).encode() + b"]}")
    headers = {"x-api-key": key, "content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = world.ask("POST", f"{ML}/v1/use-cases/{BUYS}/predictions:batchGet", body, headers)
    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    plain = gzip.decompress(answer.body)
    assert plain.count(b'"status":"found"') == len(ids)
    etag = world.get(ONE, x_api_key=key, accept_encoding="gzip").headers["etag"]
    assert world.get(ONE, x_api_key=key, accept_encoding="gzip", if_none_match=etag).status == 304


@pytest.mark.parametrize("town", ["a/b", "ünï ☃", "1"])
def test_ids_arrive_as_they_were_sent(behind: tuple[World, str, Path], town: str) -> None:
    """An escaped slash stays part of the id on its way through the proxy."""
    world, key, _ = behind
    answer = world.get(f"{ML}/v1/use-cases/{TOWN}/predictions/{quote(town, safe='')}", x_api_key=key)
    assert (answer.status, answer.json["entity_id"]) == (200, town)
