"""A store's file that is replaced, moved away or damaged under a running API, and one that came back empty.

Here: real files under a real server. Not here: a store that is down or slow (tests/faults/test_api_faults.py), what the
pipeline does about a loss (tests/pipeline/test_restore.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from serving_assets.lake import Lake
from tests.serving.conftest import SCORES
from tests.serving.world import BUYS, Published, World

pytestmark = pytest.mark.long

HELD, NEW = 7, 8
LOST = "The store has lost generation"


def eventually(question: Callable[[], bool]) -> None:
    """Wait for what must come true, for as long as a busy machine may need."""
    deadline = time.monotonic() + 30
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def companions(file: Path) -> list[Path]:
    """The file and SQLite's others beside it, as far as they exist."""
    return [path for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")) if path.exists()]


def ready(world: World) -> tuple[str, str]:
    """The state of the use case, and its reason."""
    state = world.get("/readyz").json["use_cases"][BUYS]
    return state["status"], state.get("reason", "")


def names_the_loss(world: World) -> None:
    """What is held is stale, what is not is a 503 that names the loss, and so does readiness."""
    eventually(lambda: LOST in ready(world)[1])
    assert ready(world)[0] == "stale"
    eventually(lambda: world.look_up(BUYS, HELD).json["stale"])
    refused = world.look_up(BUYS, NEW)
    assert (refused.status, refused.json["type"]) == (503, "/docs/problems#unavailable")
    assert LOST in refused.json["detail"]
    assert LOST in world.batch(BUYS, [HELD, NEW]).json["detail"]


@pytest.mark.parametrize("with_companions", [True, False])
def test_a_replaced_file_is_answered_from(own_world: World, tmp_path: Path, with_companions: bool) -> None:
    """After another store's file was put in place, with or without clearing away the log, the API answers from it."""
    made = tmp_path / "made.db"
    file = own_world.data / "online.db"
    with own_world.served() as world:
        assert world.look_up(BUYS, HELD).json["prediction"] == SCORES[HELD]
        own_world.collection(BUYS).roll_forward({id: {"score": 0.1} for id in SCORES})
        assert Path(f"{file}-wal").stat().st_size > 0  # of the file that is open; none of it may reach the other one
        Published(f"sqlite:///{made}", f"{BUYS}.features").publish({HELD: {"f0": 1.0}})
        restored = Published(f"sqlite:///{made}", BUYS)
        restored.publish({HELD: {"score": 0.9}})
        restored.publish({HELD: {"score": 0.9}, NEW: {"score": 0.8}})
        if with_companions:
            for path in companions(file)[1:]:
                path.unlink()
        made.replace(file)
        eventually(lambda: world.look_up(BUYS, HELD).json.get("prediction") == {"score": 0.9})
        answer = world.look_up(BUYS, NEW).json
        assert (answer["prediction"], answer["generation"], answer["stale"]) == ({"score": 0.8}, 2, False)
        eventually(lambda: ready(world)[0] == "ok")


def test_a_file_that_was_moved_away_is_a_loss(own_world: World, tmp_path: Path) -> None:
    """The API names the loss, creates no file in its place, and answers again when the file is back."""
    file = own_world.data / "online.db"
    with own_world.served() as world:
        assert world.look_up(BUYS, HELD).status == 200
        for path in companions(file):
            path.rename(tmp_path / path.name)
        names_the_loss(world)
        assert companions(file) == []
        (tmp_path / "online.db-shm").unlink(missing_ok=True)
        for path in companions(tmp_path / "online.db"):
            path.rename(own_world.data / path.name)
        eventually(lambda: ready(world)[0] == "ok")
        assert (world.look_up(BUYS, NEW).status, world.look_up(BUYS, NEW).json["stale"]) == (200, False)


def test_an_older_copy_is_a_loss_until_something_is_published(own_world: World, tmp_path: Path) -> None:
    """A copy from before the newest generation is not answered from, until a publish continues it."""
    file = own_world.data / "online.db"
    copy = tmp_path / "copy.db"
    copy.write_bytes(file.read_bytes())
    with own_world.served() as world:
        before = world.look_up(BUYS, HELD).json["generation"]
        own_world.collection(BUYS).roll_forward({HELD: {"score": 0.1}})
        eventually(lambda: world.look_up(BUYS, HELD).json["generation"] > before)
        copy.replace(file)
        names_the_loss(world)
        own_world.collection(BUYS).roll_forward({HELD: {"score": 0.2}, NEW: {"score": 0.3}})
        eventually(lambda: world.look_up(BUYS, NEW).status == 200)
        assert world.look_up(BUYS, HELD).json["prediction"] == {"score": 0.2}


@pytest.mark.parametrize("how", ["overwritten", "emptied"])
def test_a_file_that_is_damaged_in_place_is_named(own_world: World, how: str) -> None:
    """A file whose bytes were overwritten or cut away under the server is unavailable, never "nothing yet"."""
    file = own_world.data / "online.db"
    with own_world.served() as world:
        assert world.look_up(BUYS, HELD).status == 200
        for path in (file, Path(f"{file}-wal")):
            with path.open("r+b") as damaged:
                if how == "emptied":
                    damaged.truncate(0)
                else:
                    damaged.write(b"\xff" * path.stat().st_size)
        eventually(lambda: ready(world)[0] == "stale")
        eventually(lambda: world.look_up(BUYS, NEW).status == 503)
        assert "Nothing has been published" not in world.look_up(BUYS, NEW).json["detail"]
        assert world.look_up(BUYS, HELD).status == 200


def test_a_new_process_knows_from_the_lake_what_the_store_has_lost(own_world: World) -> None:
    """A server that starts with an empty store names the generation that the lake remembers."""
    for path in companions(own_world.data / "online.db"):
        path.unlink()
    instant = pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (2, 1)], pa.timestamp("us", tz="UTC"))
    log = pa.table({"generation": pa.array([5, 4], pa.int64()), "activated_at": instant})
    Lake(str(own_world.data / "lake")).table(f"{BUYS}/publications").replace(log.to_reader())
    with own_world.served() as world:
        eventually(lambda: f"{LOST} 5;" in ready(world)[1])
        refused = world.look_up(BUYS, HELD)
        assert (refused.status, f"{LOST} 5;" in refused.json["detail"]) == (503, True)


def test_a_new_process_without_any_publication_says_so(own_world: World) -> None:
    """A server that starts with an empty store and an empty lake has lost nothing."""
    for path in companions(own_world.data / "online.db"):
        path.unlink()
    with own_world.served() as world:
        eventually(lambda: ready(world)[1] == "Nothing has been published yet.")
        assert "Nothing has been published yet." in world.look_up(BUYS, HELD).json["detail"]
