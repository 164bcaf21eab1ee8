"""What changes under a running server is seen by its readers, within a second and never in part."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading

import pytest

from serving_assets.models.bundle import MANIFEST
from tests.serving.world import BUYS, World, soon

pytestmark = pytest.mark.long

BOTH = list(range(1, 201))


def test_a_publish_and_a_rollback_are_seen_soon(own_world: World) -> None:
    """A cached answer gives way to the new generation within a second of its publish, and back after a rollback."""
    with own_world.served() as world:
        first = world.look_up(BUYS, 7)
        collection = world.collection(BUYS)
        collection.documents = {id: f'{{"v": {{"score": {id / 1000}}}}}' for id in range(1, 501)}
        collection.publish({id: {"score": 0.5} for id in BOTH}, model="4")
        assert soon(lambda: world.look_up(BUYS, 7).json["prediction"] == {"score": 0.5})
        second = world.look_up(BUYS, 7)
        assert (second.json["generation"], second.json["model_version"]) == (2, "4")
        assert second.headers["etag"] != first.headers["etag"]
        assert world.look_up(BUYS, 400).status == 404
        collection.roll_back()
        assert soon(lambda: world.look_up(BUYS, 7).json["prediction"] == {"score": 0.007})
        assert soon(lambda: world.look_up(BUYS, 400).status == 200)


def test_a_batch_never_mixes_generations(own_world: World) -> None:
    """While generations are published one after the other, every batch is of one, and none goes back."""
    answers: list[dict[str, object]] = []
    stop = threading.Event()
    with own_world.served() as world:

        def ask() -> None:
            while not stop.is_set():
                answers.append(world.batch(BUYS, BOTH).json)

        collection = world.collection(BUYS)
        collection.documents = {id: f'{{"v": {{"score": {id / 1000}}}}}' for id in range(1, 501)}
        reader = threading.Thread(target=ask)
        reader.start()
        for generation in range(2, 8):
            collection.publish({id: {"score": generation / 10} for id in BOTH})
        soon(lambda: answers[-1]["generation"] == 7)
        stop.set()
        reader.join()
    generations = [answer["generation"] for answer in answers]
    assert generations == sorted(generations)
    assert generations[-1] == 7
    for answer in answers:
        if answer["generation"] > 1:
            assert {item["prediction"]["score"] for item in answer["items"]} == {answer["generation"] / 10}


def test_a_new_champion_scores_without_a_restart(own_world: World) -> None:
    """The old model serves until the new one is loaded; a broken one never takes its place, and is told in the log."""
    with own_world.served() as world:
        asked = {"entity_id": 1, "features": {"f0": 30.0}}
        before = world.score(BUYS, **asked).json
        assert before["model_version"] == "1"
        bundle = world.data / "bundles" / BUYS / "3"
        bundle.mkdir()
        (bundle / "bundle.json").write_text("{}")
        world.promote(BUYS, "3")
        assert soon(lambda: any(line["event"] == "model_not_loaded" for line in world.log()))
        assert world.score(BUYS, **asked).json["prediction"] == before["prediction"]


@pytest.mark.parametrize("file", ["scorer.onnx", "signature.json"])
def test_a_champion_that_this_machine_cannot_run_stops_nothing(own_world: World, file: str) -> None:
    """A bundle that is whole, but refused by the libraries here, leaves the old model serving."""
    world = own_world
    bundles = world.data / "bundles" / BUYS
    shutil.copytree(bundles / "2", bundles / "3")
    (bundles / "3" / file).write_bytes(b'{"of": "another version"}')
    manifest = json.loads((bundles / "3" / MANIFEST).read_bytes())
    manifest["files"][file] = hashlib.sha256((bundles / "3" / file).read_bytes()).hexdigest()
    (bundles / "3" / MANIFEST).write_text(json.dumps(manifest))
    asked = {"entity_id": 1, "features": {"f0": 30.0}}
    with world.served():
        before = world.score(BUYS, **asked).json
        world.promote(BUYS, "3")
        assert soon(lambda: any(line["event"] == "model_not_loaded" for line in world.log()))
        assert world.score(BUYS, **asked).json["prediction"] == before["prediction"]
        assert world.get("/readyz").status == 200
    with world.served():
        assert world.look_up(BUYS, 7).status == 200
        assert world.score(BUYS, **asked).status == 503
        assert world.get("/readyz").status == 503


def test_a_promotion_is_seen(own_world: World) -> None:
    """Within two seconds of the pointer's change the new champion answers, with other scores."""
    with own_world.served() as world:
        asked = {"entity_id": 1, "features": {"f0": 30.0}}
        before = world.score(BUYS, **asked).json
        world.promote(BUYS, "2")
        seen = [soon(lambda: world.score(BUYS, **asked).json["model_version"] == "2") for _ in range(2)]
        assert any(seen)
        assert world.score(BUYS, **asked).json["prediction"] != before["prediction"]

        def gauges() -> list[tuple[str, str]]:
            text = world.get("/metrics").body.decode()
            return sorted(re.findall(rf'model_info{{model="{BUYS}",version="(.)"}} (.)', text))

        assert soon(lambda: gauges() == [("1", "0"), ("2", "1")]), gauges()


def test_a_store_that_nobody_published_to_is_no_proof_of_absence(own_world: World) -> None:
    """An empty store gives 503 for everybody, never 404, and the first publish is served without a restart."""
    (own_world.data / "online.db").unlink()
    with own_world.served() as world:
        answer = world.look_up(BUYS, 7)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert world.batch(BUYS, [7]).status == 503
        assert world.get("/readyz").status == 503
        world.collection(BUYS).publish({7: {"score": 0.5}})
        assert soon(lambda: world.look_up(BUYS, 7).status == 200)


def test_a_damaged_store_is_answered_from_memory(own_world: World) -> None:
    """Without its store a process serves what it holds as stale and refuses the rest; a new file is taken up."""
    store = own_world.data / "online.db"
    with own_world.served() as world:
        assert world.look_up(BUYS, 7).json["stale"] is False
        for path in store.parent.glob("online.db*"):
            path.write_bytes(b"no database at all" * 300)
        assert soon(lambda: world.look_up(BUYS, 7).json["stale"])
        stale = world.look_up(BUYS, 7)
        assert stale.json["prediction"] == {"score": 0.007}
        assert stale.headers["cache-control"] == "private, max-age=5"
        assert "etag" not in stale.headers
        assert world.look_up(BUYS, 8).status == 503
        assert world.batch(BUYS, [7, 7]).json["stale"] is True
        assert world.get("/readyz").json["use_cases"][BUYS]["status"] == "stale"
        for path in store.parent.glob("online.db*"):
            path.unlink()
        world.collection(BUYS).publish({8: {"score": 0.5}})
        assert soon(lambda: world.look_up(BUYS, 8).status == 200)
        assert world.look_up(BUYS, 7).status == 404
