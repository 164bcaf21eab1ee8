"""Scoring in the request: which path an answer takes, what it says of it, and bit-equality with the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serving_assets.models.bundle import load_bundle
from serving_assets.models.lifecycle.champion import POINTER
from tests.serving.world import BUYS, NEWCOMER, World
from tests.unit.models import samples


def test_features_of_the_request_override_stored_ones(world: World) -> None:
    """Each feature comes from the request, else the store, else a declared default, and the answer says which."""
    found = world.score(BUYS, entity_id=1, features={"f0": 30, "f2": None}, explain="features").json
    assert (found["source"], found["reason"], found["model"], found["generation"]) == (
        "on_the_fly",
        "requested",
        BUYS,
        1,
    )
    assert {name: (one["value"], one["origin"]) for name, one in found["features"].items()} == {
        "f0": (30, "request"),
        "f1": (1.0, "store"),
        "f2": (None, "request"),
        "f3": (3.0, "store"),
        "f4": (4.0, "store"),
        "f5": (7.5, "default"),
    }


def test_batch_and_api_give_the_same_bits(world: World, bundles: Path) -> None:
    """The same features get bit for bit the same score from the scoring job and from the API."""
    scorer = load_bundle(bundles / BUYS / "1").scorer()
    batch = samples.table(300, seed=9).select(list(scorer.signature.names)).combine_chunks().to_batches()[0]
    found = [world.score(BUYS, entity_id=1, features=row).json["prediction"]["score"] for row in batch.to_pylist()]
    assert np.array(found).tobytes() == scorer.score(batch)["score"].tobytes()


def test_a_known_entity_gets_its_published_prediction(world: World) -> None:
    """Asked without features of the champion, who has a fresh prediction gets that one."""
    found = world.score(BUYS, entity_id=7).json
    assert (found["source"], found["reason"]) == ("batch", "published")
    assert found["prediction"] == world.look_up(BUYS, 7).json["prediction"]


def test_only_the_model_that_is_to_answer_is_needed(own_world: World) -> None:
    """Without the fallback's model a published prediction and the champion answer, and only its own answers are 503."""
    (own_world.data / "bundles" / NEWCOMER / POINTER).unlink()
    with own_world.served() as world:
        known = world.score(BUYS, entity_id=7)
        assert (known.status, known.json["source"], known.json["reason"]) == (200, "batch", "published")
        scored = world.score(BUYS, entity_id=1, features={"f0": 1.5})
        assert (scored.status, scored.json["source"], scored.json["model"]) == (200, "on_the_fly", BUYS)
        assert [world.score(BUYS, **body).status for body in ({}, {"entity_id": 10**6})] == [503, 503]
        assert world.score(BUYS, entity_id=1, features={"of_an_unknown_model": 1}).status == 503
        assert world.score(BUYS, entity_id=1, features=[]).status == 400
    (own_world.data / "bundles" / BUYS / POINTER).unlink()
    own_world.promote(NEWCOMER, "1")
    with own_world.served() as world:
        assert world.score(BUYS, entity_id=7).json["reason"] == "published"
        assert world.score(BUYS, entity_id=10**6).json["model"] == NEWCOMER
        assert world.score(BUYS, entity_id=1, features={"f0": 1.5}).status == 503


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"entity_id": 10**6}, "unknown_entity"),
        ({}, "no_entity"),
        ({"entity_id": None, "features": None, "explain": None}, "no_entity"),
        ({"entity_id": 400, "features": {"f0": 1.5}}, "no_stored_features"),
    ],
)
def test_everyone_else_gets_the_fallback(world: World, body: dict[str, object], reason: str) -> None:
    """Who has nothing to stand on is answered by the fallback's model, with the reason."""
    found = world.score(BUYS, **body).json
    assert (found["source"], found["reason"], found["model"]) == ("fallback", reason, NEWCOMER)
    assert 0 <= found["prediction"]["score"] <= 1
    assert found["age_seconds"] == 0


def test_a_prediction_that_is_too_old_counts_as_none(own_world: World) -> None:
    """Beyond the declared age a published prediction is still looked up, but the hybrid passes it over."""
    own_world.collection(BUYS)
    (own_world.data / "online.db").unlink()
    own_world.collection(BUYS).publish({7: {"score": 0.5}}, days_old=31)
    own_world.collection("town_fan").publish({"x": {"score": 0.5}}, days_old=91)
    with own_world.served() as world:
        assert world.look_up(BUYS, 7).status == 200
        assert world.score(BUYS, entity_id=7).json["reason"] == "too_old"
        expired = world.look_up("town_fan", "x")
        assert (expired.status, expired.json["type"]) == (404, "/docs/problems#expired")
        assert [one["status"] for one in world.batch("town_fan", ["x", "y"]).json["items"]] == ["expired", "not_found"]
        found = world.score(BUYS, entity_id=7, features={"f0": 1.0}).json
        assert (found["source"], found["reason"]) == ("fallback", "store_down")


@pytest.mark.parametrize(
    "body",
    [
        {"features": {"secret-nonsense": 1}},
        {"features": {"f0": "secret-nonsense"}},
        {"features": {"f0": True}},
        {"features": {"f0": [1]}},
        {"features": {"f0": 1e39}},
        {"features": []},
        {"entity_id": "secret-nonsense"},
        {"entity_id": 1.5},
        {"explain": "secret-nonsense"},
        {"secret-nonsense": 1},
    ],
)
def test_what_is_not_taken_is_refused_without_repeating_it(world: World, body: dict[str, object]) -> None:
    """A feature, id or member that is not what was declared is a 400 that does not echo it."""
    answer = world.score(BUYS, **body)
    assert answer.status == 400
    assert b"secret" not in answer.body
    assert "detail" in answer.json


def test_payload_alone_is_enough_where_nothing_is_stored(world: World) -> None:
    """A use case without stored features or look-ups scores what the request brings, and declared defaults."""
    found = world.score(NEWCOMER, features={"f0": 3}, explain="features").json
    assert (found["source"], found["generation"]) == ("on_the_fly", None)
    assert found["features"]["f1"] == {"value": 0.0, "origin": "default"}
    assert found["features"]["f3"] == {"value": None, "origin": "missing"}
