"""Looking up what was published, over HTTP from a real server process."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.serving.build import Parts
from serving_assets.serving.live_model import LiveModel
from serving_assets.serving.reading.reader import open_reader
from serving_assets.serving.telemetry.metrics import ApiMetrics
from serving_assets.settings import Settings
from tests.serving.world import BUYS, ROOT, TOWN, World


def test_one_says_where_it_comes_from(world: World) -> None:
    """A look-up answers with the published prediction and its whole provenance."""
    answer = world.look_up(BUYS, 7)
    assert answer.status == 200
    found = answer.json
    assert found["prediction"] == {"score": 0.007}
    assert (found["source"], found["entity_id"], found["generation"], found["model_version"]) == ("batch", 7, 1, "3")
    assert found["stale"] is False
    assert abs(found["age_seconds"] - 43_200) < 600


@pytest.mark.parametrize("entity", ["a/b", "ünï ☃", "1"])
def test_text_ids_are_taken_as_they_are(world: World, entity: str) -> None:
    """An id of text may hold anything printable, an escaped slash among it."""
    assert world.look_up(TOWN, quote(entity, safe="")).json["entity_id"] == entity


@pytest.mark.parametrize(
    "entity",
    [
        "abc",
        "1.0",
        "01",
        "+1",
        "1e3",
        "9223372036854775808",
        "%31%00",
        "1%20",
        "%ff",
        "..%2f..%2fetc%2fpasswd",
        "%7B%22$gt%22:%22%22%7D",
        "%D9%A1",
        "NaN",
        "null",
        "-0",
    ],
)
def test_what_is_no_whole_number_is_refused(world: World, entity: str) -> None:
    """Nothing but a canonical whole number reaches the store as an id, and the answer does not repeat it."""
    answer = world.look_up(BUYS, entity)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    said = {name: value for name, value in answer.json.items() if name != "request_id"}  # which is made by chance
    assert entity not in str(said).replace("invalid", "") or len(entity) < 3


def test_who_has_no_prediction_is_told_so(world: World) -> None:
    """An unknown id is a 404 of its own kind, which no cache may keep."""
    answer = world.look_up(BUYS, 10**6)
    assert (answer.status, answer.json["type"]) == (404, "/docs/problems#not-found")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_batch_keeps_the_order_of_the_question(world: World) -> None:
    """A batchGet answers each id in its place, repeated and unknown ones too, all of one generation."""
    ids = [3, 999_999, "2", 3, -5]
    answer = world.batch(BUYS, ids).json
    assert [item["entity_id"] for item in answer["items"]] == [3, 999_999, 2, 3, -5]
    assert [item["status"] for item in answer["items"]] == ["found", "not_found", "found", "found", "not_found"]
    assert answer["items"][2]["prediction"] == {"score": 0.002}
    assert answer["generation"] == 1


def test_batch_of_a_thousand_is_answered(world: World) -> None:
    """As many ids as are allowed are answered at once."""
    answer = world.batch(BUYS, list(range(1, 1001))).json
    assert sum(item["status"] == "found" for item in answer["items"]) == 500


@pytest.mark.parametrize(
    "ids", [[], [1] * 1001, [1.0], [True], [None], [[1]], [{"$gt": ""}], {"a": 1}, "1", ["1 "], [2**63], None]
)
def test_batch_refuses_what_are_no_ids(world: World, ids: object) -> None:
    """A batch with anything but ids of the declared type is refused as a whole."""
    assert world.batch(BUYS, ids).status == 400


def test_an_answer_at_hand_is_confirmed_without_a_body(world: World) -> None:
    """If-None-Match with the current etag gives 304; with any other, the answer."""
    answer = world.look_up(BUYS, 7)
    path = f"{ROOT}/{BUYS}/predictions/7"
    for given in (answer.headers["etag"], f'"x", {answer.headers["etag"]}', "*"):
        again = world.get(path, if_none_match=given)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    assert world.get(path, if_none_match='W/"1-other"').status == 200


def test_an_answer_may_be_kept_until_the_next_publish(world: World) -> None:
    """Cache-Control names the seconds until the next publish is due, within the declared bound."""
    told = world.look_up(TOWN, "1").headers["cache-control"].split(", ")
    assert told[0] == "private"
    assert told[1] in {f"max-age={seconds}" for seconds in range(1, 61)}
    assert told[2:] == ["stale-while-revalidate=60", "stale-if-error=86400"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/use-cases/", 404),
        ("GET", f"{ROOT}/nothing/predictions/1", 404),
        ("DELETE", f"{ROOT}/{BUYS}/predictions/1", 405),
        ("OPTIONS", f"{ROOT}/{BUYS}/predictions/1", 405),
        ("GET", f"{ROOT}/{BUYS}/predictions:batchGet", 405),
        ("GET", f"{ROOT}/{BUYS}/predictions/1/2", 404),
        ("HEAD", f"{ROOT}/{BUYS}/predictions/1", 200),
        ("POST", f"{ROOT}/{TOWN}/score", 404),
        ("GET", f"{ROOT}/newcomer/predictions/1", 404),
    ],
)
def test_routes_are_exact(world: World, method: str, path: str, status: int) -> None:
    """A path or method that is not offered is refused with the problem that says so."""
    assert world.ask(method, path).status == status


def test_use_cases_are_listed(world: World) -> None:
    """The list names every use case with what is active; one of them is told alone too."""
    listed = {one["use_case"]: one for one in world.get(ROOT).json["use_cases"]}
    assert set(listed) == {BUYS, TOWN, "newcomer"}
    assert listed[BUYS]["generation"] == 1
    assert world.get(f"{ROOT}/{BUYS}").json == listed[BUYS]


def test_all_caches_together_keep_to_the_setting(own_world: World) -> None:
    """Published predictions and stored features share the memory that one setting bounds."""
    spec = load_catalog(own_world.catalog).use_cases[BUYS].spec
    spec = spec.model_copy(update={"serve": spec.serve.model_copy(update={"fallback": None})})
    settings = Settings(data_dir=own_world.data, api_cache_mb=8)
    models = {BUYS: LiveModel(BUYS, settings.bundles_dir, lambda *_, **__: None)}
    served = Parts(settings, open_reader(settings.store), ApiMetrics(), models, {BUYS: spec}).served(spec)
    limits = [collection._present.limit + collection._absent.limit for collection in served.collections]
    assert len(limits) == 2
    assert sum(limits) <= 8 * 2**20
