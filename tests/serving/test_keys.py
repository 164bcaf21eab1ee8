"""API keys: made, rotated and revoked by command, and what each opens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serving_assets.errors import ConflictError, InputError
from serving_assets.serving.http.guard import Bucket, Guard
from serving_assets.serving.http.keys import create_key, read_ring, revoke_key
from tests.serving.world import BUYS, ROOT, TOWN, World, soon

LOOKUP = f"{ROOT}/{BUYS}/predictions/7"


def command(world: World, *arguments: str) -> Any:
    """What `serving-assets keys` prints, as JSON; an error raises with what it says."""
    program = "from serving_assets.cli import app; app()"
    environment = {"DATA_DIR": str(world.data), "CATALOG_DIR": str(world.catalog), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, "keys", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_keys_open_what_they_cover(own_world: World) -> None:
    """Once there is a key, nothing but health answers without one; a key opens its use cases alone."""
    made = command(own_world, "create", "web-shop", "--use-case", BUYS, "--json")
    watcher = command(own_world, "create", "prometheus", "--use-case", "metrics", "--json")
    with own_world.served() as world:
        for headers in ({}, {"x_api_key": "nonsense"}, {"x_api_key": made["key"] + "x"}, {"authorization": "Basic x"}):
            answer = world.get(LOOKUP, **headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert world.get("/openapi.json", **headers).status == 401
        assert world.get("/livez").status == world.get("/readyz").status == world.get("/docs").status == 200
        assert world.get("/readyz").json == {"status": "ok", "use_cases": {}}
        assert list(world.get("/readyz", x_api_key=made["key"]).json["use_cases"]) == [BUYS]
        assert world.get(LOOKUP, x_api_key=made["key"]).status == 200
        assert world.get(LOOKUP, authorization=f"bearer {made['key']}", host="api.example").status == 200
        for path in (f"{ROOT}/{TOWN}/predictions/1", f"{ROOT}/no-such/predictions/1", "/metrics"):
            assert world.get(path, x_api_key=made["key"]).status == 403
        assert [one["use_case"] for one in world.get(ROOT, x_api_key=made["key"]).json["use_cases"]] == [BUYS]
        assert TOWN.encode() not in world.get("/openapi.json", x_api_key=made["key"]).body
        assert b"request_seconds" in world.get("/metrics", x_api_key=watcher["key"]).body
        assert world.get(LOOKUP, x_api_key=watcher["key"]).status == 403
        command(own_world, "revoke", made["id"])
        assert soon(lambda: world.get(LOOKUP, x_api_key=made["key"]).status == 401)
        (own_world.data / "api-keys.json").unlink()
        for _ in range(30):  # longer than it takes to notice
            assert world.get(LOOKUP).status == 401
            time.sleep(0.05)


def test_a_key_may_ask_as_often_as_it_may(own_world: World) -> None:
    """Beyond its rate and burst a key gets 429 with when to come back, and others are not held up."""
    limited = command(own_world, "create", "batch-job", "--use-case", "*", "--rate", "0.1", "--json")["key"]
    other = command(own_world, "create", "web-shop", "--use-case", "*", "--json")["key"]
    with own_world.served() as world:
        answers = [world.get(LOOKUP, x_api_key=limited) for _ in range(3)]
        assert answers[0].status == 200
        refused = next(answer for answer in answers if answer.status == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert world.get(LOOKUP, x_api_key=other).status == 200


def test_only_loopback_without_keys(own_world: World) -> None:
    """A server that others could reach does not start without a key, and says what to do."""
    with (
        pytest.raises(AssertionError, match=r"(?s)there are no API keys.*keys create"),
        own_world.served("--host", "0.0.0.0"),
    ):
        pass


def test_a_client_has_two_keys_at_most(tmp_path: Path) -> None:
    """Two keys are valid at once, for rotation; a third must wait until one is revoked."""
    path = tmp_path / "keys.json"
    first, _ = create_key(path, "web-shop", ["*"], rate=None, days=None)
    create_key(path, "web-shop", ["*"], rate=None, days=None)
    with pytest.raises(ConflictError, match=f"two valid keys|{first.id}"):
        create_key(path, "web-shop", ["*"], rate=None, days=None)
    revoke_key(path, first.id)
    create_key(path, "web-shop", ["*"], rate=None, days=None)
    with pytest.raises(InputError, match="No key has the id"):
        revoke_key(path, "nobody")


def test_the_file_holds_no_key(tmp_path: Path) -> None:
    """The file has hashes alone, and nobody but its owner may read it."""
    path = tmp_path / "keys.json"
    key, secret = create_key(path, "web-shop", ["*"], rate=1.5, days=3)
    assert secret.rpartition("_")[2] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert read_ring(path).keys == (key,)


def test_a_file_that_breaks_changes_nothing(tmp_path: Path) -> None:
    """A server keeps the keys it knows when their file becomes unreadable, and does not start on such a file."""
    path = tmp_path / "keys.json"
    create_key(path, "web-shop", ["*"], rate=None, days=None)
    guard = Guard(path, public=False)
    path.write_text("{")
    guard._look()
    assert not guard.keyless
    path.unlink()
    path.symlink_to(path)
    guard._look()
    assert not guard.keyless
    path.unlink()
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        Guard(path, public=False)


def test_a_bucket_fills_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket gives its burst at once, then its rate, and says how long to wait."""
    now = [0.0]
    monkeypatch.setattr("serving_assets.serving.http.guard.time.monotonic", lambda: now[0])
    bucket = Bucket(5)
    assert [bucket.take() for _ in range(10)] == [0.0] * 10
    assert bucket.take() == pytest.approx(0.2)
    now[0] = 0.41
    assert [bucket.take() for _ in range(2)] == [0.0, 0.0]
    assert bucket.take() > 0
