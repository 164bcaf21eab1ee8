"""A world to serve: a small catalog, published predictions and features, models, and a real server process.

Here: making them. Not here: what is expected of an answer.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from serving_assets.models.lifecycle.champion import point_to_champion
from serving_assets.store import (
    DocumentChange,
    Entity,
    PublishTarget,
    open_store,
    publish,
    rollback,
    scan,
    total_digest,
)
from tests.forked import ForkedCommand
from tests.unit.catalog.small_catalog import FILES, USE_CASE, write_catalog

FEATURES = "SELECT person, " + ", ".join(f"CAST(1 AS DOUBLE) AS f{i}" for i in range(6)) + " FROM person_days"
PRELOADED = ["serving_assets.serving.server", "serving_assets.commands.api", "pymongo", "onnxruntime"]
ROOT = "/v1/use-cases"
BUYS, TOWN, NEWCOMER = "buys_again", "town_fan", "newcomer"


def use_case(name: str, dtype: str, serve: str) -> str:
    """A declaration of the small catalog under another name, served as `serve` says."""
    text = USE_CASE.replace('name="buys_again"', f'name="{name}"').replace('dtype="int64"', f'dtype="{dtype}"')
    text = text.replace('columns={"town": optional("string", "Where the person lives")},', "")
    text = "from serving_assets.catalog.serve import Fallback, OnTheFly, Serve\n" + text
    text = text.replace('baselines=(Baseline(name="often", expression="days - 1"),)', "")
    if dtype == "string":
        text = text.replace('key="person"', 'key="town"').replace('"person_days": LastDays(days=28), ', "")
        text = text.replace('population="person_days"', 'population="towns"')
    else:
        text = text.replace('"towns": Current()', "")
    return text.rstrip().removesuffix(")") + serve


def write_world(root: Path) -> Path:
    """A catalog of three use cases: all patterns, text ids with look-ups only, and a model for newcomers."""
    serves = {
        BUYS: (
            "int64",
            "serve=Serve(on_the_fly=OnTheFly(stored_features=True, defaults={'f5': 7.5}),"
            " fallback=Fallback(use_case='newcomer', max_age_days=30)),\n)\n",
        ),
        TOWN: ("string", "serve=Serve(max_age_seconds=60),\n)\n"),
        NEWCOMER: ("int64", "serve=Serve(lookup=False, on_the_fly=OnTheFly(defaults={'f1': 0.0})),\n)\n"),
    }
    changes: dict[str, str | None] = {}
    for name, (dtype, serve) in serves.items():
        folder = f"use_cases/{name}"
        changes |= {f"{folder}/{file}": FILES[f"use_cases/buys_again/{file}"] for file in ("labels.sql", "train.py")}
        features = FEATURES
        if dtype == "string":
            features = "SELECT town, CAST(count(*) AS DOUBLE) AS f0 FROM towns GROUP BY town"
            changes[f"{folder}/labels.sql"] = "SELECT 'X' AS town, CAST(1 AS DOUBLE) AS label FROM person_days"
        changes |= {f"{folder}/use_case.py": use_case(name, dtype, serve), f"{folder}/features.sql": features}
    return write_catalog(root, changes)


@dataclass
class Published:
    """What one collection holds, published through the store's own protocol."""

    uri: str
    collection: str
    documents: dict[Entity, str] = field(default_factory=dict)
    version: int = 0

    def publish(self, values: Mapping[Any, dict[str, Any]], *, days_old: float = 0.5, model: str = "3") -> int:
        """Publish exactly these values; returns the generation."""
        new = {entity: json.dumps({"v": value}) for entity, value in values.items()}
        changes = [DocumentChange(e, self.documents.get(e), new.get(e)) for e in {**self.documents, **new}]
        as_of = (datetime.now(UTC) - timedelta(days=days_old)).isoformat()
        self.version += 1
        target = PublishTarget(as_of, model, self.version, len(new), total_digest(new.items()), "run")
        with open_store(self.uri) as store:
            report = publish(store, self.collection, changes, target, writer=f"writer {self.version}")
        self.documents = new
        return report.generation

    def roll_forward(self, values: Mapping[Any, dict[str, Any]]) -> int:
        """Publish exactly these values over whatever the store holds; returns the generation."""
        with open_store(self.uri) as store:
            self.documents = dict(scan(store, self.collection))
        return self.publish(values)

    def roll_back(self) -> None:
        """Make the previous generation active again."""
        with open_store(self.uri) as store:
            rollback(store, self.collection)


class Reply:
    """An answer, read whole."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


@dataclass
class World:
    """A workspace folder and the server over it."""

    data: Path
    catalog: Path
    process: subprocess.Popen[bytes] | ForkedCommand | None = None
    port: int = 0
    store: str = ""
    """Where it publishes to; the server is told by its settings."""

    def collection(self, name: str) -> Published:
        """A collection of the store, to publish into."""
        return Published(self.store or f"sqlite:///{self.data / 'online.db'}", name)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("content-type", "application/json")
        try:
            with suppress(BrokenPipeError):  # an answer that refuses a body may come before all of it is sent
                connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """GET, with headers whose names have underscores for hyphens."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def look_up(self, use_case: str, entity: object) -> Reply:
        """A look-up of one."""
        return self.get(f"{ROOT}/{use_case}/predictions/{entity}")

    def batch(self, use_case: str, ids: Any) -> Reply:
        """A look-up of many."""
        return self.ask("POST", f"{ROOT}/{use_case}/predictions:batchGet", {"ids": ids})

    def score(self, use_case: str, **body: Any) -> Reply:
        """A score request."""
        return self.ask("POST", f"{ROOT}/{use_case}/score", body)

    def promote(self, name: str, version: str) -> None:
        """Point to a version whose bundle is there."""
        point_to_champion(self.data / "bundles", name, version)

    def memory(self) -> int:
        """Resident memory of the server in bytes."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> list[dict[str, Any]]:
        """The server's log lines so far."""
        return [json.loads(line) for line in (self.data / "server.log").read_text().splitlines()]

    @contextmanager
    def served(self, *options: str, fresh: bool = False, **settings: str) -> Iterator[World]:
        """A server process on a free port of loopback, stopped by a signal at the end.

        One of several workers starts them as processes of their own, so it is started `fresh`, importing all anew.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {**os.environ, "DATA_DIR": str(self.data), "CATALOG_DIR": str(self.catalog), **settings}
        arguments, log = ["api", "--port", str(self.port), *options], self.data / "server.log"
        log.write_bytes(b"")
        if fresh or "--workers" in options:
            command = [sys.executable, "-c", "from serving_assets.cli import app; app()", *arguments]
            with log.open("ab") as output:
                self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        else:
            self.process = ForkedCommand(arguments, environment, log, log, PRELOADED)
        try:
            self._wait()
            yield self
        finally:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if self.get("/livez").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start: {(self.data / 'server.log').read_text()[-3000:]}")


def soon(question: Any) -> bool:
    """Whether `question()` becomes true soon: a second is promised, and a machine that is busy gets thirty."""
    deadline = time.monotonic() + 30.0
    while not (found := bool(question())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
