"""Ask as users ask: by a command, or the prediction API, in this process and without a socket.

Here: a command's JSON; the API's start, some requests, its end. Not here: what they are answered.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any

from typer.testing import CliRunner

from serving_assets.catalog.discovery import Catalog
from serving_assets.cli import app
from serving_assets.serving.build import build_api
from serving_assets.serving.telemetry.logs import JsonLog
from serving_assets.settings import Settings

Question = tuple[str, str, Any]
"""Method, path, and what is sent as JSON, if anything."""


def command(*arguments: object) -> tuple[int, Any]:
    """The exit code of a command, and what it prints as JSON."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    return done.exit_code, _read(done.stdout)


def _read(text: str | bytes) -> Any:
    """JSON, its numbers as exact as any machine scores."""
    return json.loads(text, parse_float=lambda digits: round(float(digits), 6))


async def asked(
    settings: Settings, catalog: Catalog, key: str, questions: Sequence[Question]
) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of each answer, asked one after the other with an API key."""
    api = build_api(settings, catalog, public=True, workers=1, log=JsonLog(io.StringIO()))
    to_api: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_api: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(api({"type": "lifespan"}, to_api.get, from_api.put))
    await to_api.put({"type": "lifespan.startup"})
    await from_api.get()
    found = [await _answer(api, key, question) for question in questions]
    await to_api.put({"type": "lifespan.shutdown"})
    await life
    return found


async def _answer(api: Any, key: str, question: Question) -> tuple[int, dict[str, Any]]:
    method, path, body = question
    sent: list[dict[str, Any]] = []
    headers = [(b"x-api-key", key.encode()), (b"content-type", b"application/json"), (b"x-request-id", b"kept")]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await api(scope, receive, send)
    return sent[0]["status"], _read(sent[1]["body"])
