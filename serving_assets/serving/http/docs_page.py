"""The documentation as the server itself gives it: OpenAPI, a page to try it, and what each problem means.

Here: the pages. Not here: the OpenAPI document (openapi.py). Nothing is fetched from elsewhere: the page's assets come
from an installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import orjson

from serving_assets.catalog.spec import UseCase
from serving_assets.serving.http.answer import JSON, NO_STORE, Answer, Header
from serving_assets.serving.http.openapi import document
from serving_assets.serving.http.problems import PROBLEM_TYPES, Problem
from serving_assets.serving.http.request import HttpRequest
from serving_assets.serving.http.routes import Route
from serving_assets.settings import Settings

_ASSETS = {"swagger-ui.css": b"text/css", "swagger-ui-bundle.js": b"text/javascript"}
_OWN = {"start.js": b"text/javascript"}
_HTML: Header = (b"content-type", b"text/html; charset=utf-8")
_POLICY: Header = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    b" connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
)
_KEEP: Header = (b"cache-control", b"public, max-age=86400")

# Links are relative, so that the page works under a path prefix too.
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Prediction API</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="./docs/assets/swagger-ui.css"></head>
<body><div id="page"></div>
<script src="./docs/assets/swagger-ui-bundle.js"></script><script src="./docs/assets/start.js"></script></body></html>
"""
_START = """"use strict";
(async () => {
  const asked = () => sessionStorage.getItem("api-key");
  const headers = () => (asked() ? {"x-api-key": asked()} : {});
  let found = await fetch("openapi.json", {headers: headers()});
  if (found.status === 401) {
    sessionStorage.setItem("api-key", prompt("This server asks for an API key") || "");
    found = await fetch("openapi.json", {headers: headers()});
  }
  SwaggerUIBundle({
    spec: await found.json(),
    dom_id: "#page",
    requestInterceptor: (request) => { Object.assign(request.headers, headers()); return request; },
  });
})();
"""


class Docs:
    """The handlers. `routes` is the table they document, set once it is complete."""

    routes: tuple[Route, ...] = ()

    def __init__(self, specs: Mapping[str, UseCase], settings: Settings) -> None:
        self._specs, self._settings = specs, settings

    async def openapi(self, request: HttpRequest) -> Answer:
        """The OpenAPI document, of the use cases that the caller's key covers."""
        covered = [self._specs[name] for name in sorted(self._specs) if request.allows(name)]
        return Answer(200, orjson.dumps(document(self.routes, covered, self._settings)), (JSON, NO_STORE))

    async def page(self, request: HttpRequest) -> Answer:
        """The page that shows it and tries it."""
        return Answer(200, _PAGE.encode(), (_HTML, _POLICY, NO_STORE))

    async def asset(self, request: HttpRequest) -> Answer:
        """A file of the page, by its exact name."""
        name = request.params[0]
        if name in _OWN:
            return Answer(200, _START.encode(), ((b"content-type", _OWN[name]), _KEEP))
        if name in _ASSETS:
            return Answer(200, _asset(name), ((b"content-type", _ASSETS[name]), _KEEP))
        raise Problem("no-such-route")

    async def problems(self, request: HttpRequest) -> Answer:
        """What each `type` of a problem means, and what to do about it: the whole table."""
        rows = "".join(
            f'<h2 id="{key}">{key}</h2><p>{one.status}: {escape(one.title)}.</p><p>{escape(one.hint)}</p>'
            for key, one in PROBLEM_TYPES.items()
        )
        page = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Problems</title></head>{rows}</html>'
        return Answer(200, page.encode(), (_HTML, _POLICY, _KEEP))


@lru_cache(maxsize=4)
def _asset(name: str) -> bytes:
    package = find_spec("fastapi_offline")  # its files alone: importing it would import FastAPI
    if package is None or not package.submodule_search_locations:
        raise Problem("no-such-route")
    return (Path(package.submodule_search_locations[0]) / "static" / name).read_bytes()
