"""Ids that can be published can be asked for: one rule, held by the pipeline and by the API.

Here: ids of every kind, published by the asset `online` from the lake, and asked for over HTTP. Not here: ids that
clients make up (test_hostile.py, test_fuzz.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from serving_assets.catalog.discovery import load_catalog
from serving_assets.catalog.entity_ids import MOST_CHARACTERS, faults_sql, parser
from serving_assets.catalog.spec import Entity
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.online import online_asset
from serving_assets.settings import Settings
from tests.serving.world import BUYS, ROOT, TOWN, World, write_world

KEYS = {TOWN: ("town", pa.string()), BUYS: ("person", pa.int64())}
TEXT = parser(Entity(key="town", dtype="string"))
TRICKY = [
    "a/b",
    "/",
    "//",
    "a.b",
    "...",
    ".a",
    "%",
    "%2F",
    "%25",
    "100%",
    " ",
    "a b",
    " a ",
    "+",
    "?",
    "#",
    "a?b=c&d",
    ";",
    ":batchGet",
    "predictions:batchGet",
    '"',
    "'",
    "\\",
    "$where",
    "{}",
    "<b>",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "é",
    "e\u0301",
    "ünï ☃",
    "👩‍👩‍👧",
    "\U0010ffff",
    "日" * MOST_CHARACTERS,
    "x" * MOST_CHARACTERS,
    "null",
    "0",
    "-0",
    "007",
    "١",
]
REFUSED = {
    "1 empty": "",
    "1 longer than 256 characters": "x" * (MOST_CHARACTERS + 1),
    "1 with a control character": "a\nb",
    "1 . or ..": "..",
}


@dataclass
class Shop:
    """A served world whose predictions are published from its lake."""

    world: World
    platform: Platform

    def publish(self, use_case: str, ids: list[object]) -> dg.ExecuteInProcessResult:
        """Make `ids` the rows of `latest`, and materialize `online`."""
        key, kind = KEYS[use_case]
        scored_for = datetime.now(UTC).date() - timedelta(days=1)
        rows = pa.table(
            {
                key: pa.array(ids, kind),
                "scored_for": pa.array([scored_for] * len(ids), pa.date32()),
                "scored_at": pa.array([datetime.now(UTC)] * len(ids), pa.timestamp("us", tz="UTC")),
                "model_version": pa.array(["1"] * len(ids)),
                "run_id": pa.array(["run"] * len(ids)),
                "score": pa.array([0.5] * len(ids), pa.float64()),
            }
        )
        bound = self.platform.catalog.use_case(use_case)
        self.platform.lake.table(bound.lake_name("latest")).replace(rows.to_reader())
        assets = online_asset(bound, self.platform)
        result = dg.materialize(assets, resources={"platform": self.platform}, raise_on_error=False)
        deadline = time.monotonic() + 30
        while result.success and self.world.get(f"{ROOT}/{use_case}").json["generation"] != self.generation(use_case):
            assert time.monotonic() < deadline
        return result

    def generation(self, use_case: str) -> int | None:
        """What the store calls active."""
        control = self.platform.store.control(use_case)
        return control.active if control else None


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A served world in which nothing is published yet."""
    root = tmp_path_factory.mktemp("ids")
    catalog = write_world(root / "catalog")
    world = World(root / "data", catalog)
    world.data.mkdir()
    platform = Platform(Settings(data_dir=world.data, catalog_dir=catalog), load_catalog(catalog))
    with world.served() as served:
        yield Shop(served, platform)


def is_answered(shop: Shop, use_case: str, ids: list[object]) -> None:
    """Every id is found, as itself, one by one and all at once."""
    url = f"{ROOT}/{use_case}/predictions"
    for id in ids:
        answer = shop.world.get(f"{url}/{quote(str(id), safe='')}")
        assert (answer.status, answer.json.get("entity_id")) == (200, id), (id, answer)
    items = shop.world.batch(use_case, ids).json["items"]
    assert [(item["status"], item["entity_id"]) for item in items] == [("found", id) for id in ids]


def test_ids_with_any_character_are_answered(shop: Shop) -> None:
    """Slashes, percents, spaces, query marks, combined and rare characters, and ids of the greatest length."""
    assert shop.publish(TOWN, TRICKY).success
    is_answered(shop, TOWN, TRICKY)


@pytest.mark.parametrize("ids", [[0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1]])
def test_integers_of_64_bits_are_answered(shop: Shop, ids: list[object]) -> None:
    """The least and the greatest integer are ids like others, exact beyond 2^53."""
    assert shop.publish(BUYS, ids).success
    is_answered(shop, BUYS, ids)


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),  # each example is two publishes: a failure is read as it was found
)
@given(texts=st.lists(st.text(min_size=1, max_size=MOST_CHARACTERS + 2), min_size=5, max_size=40, unique=True))
@example(texts=["x" * (MOST_CHARACTERS + 1), "x"])
def test_whatever_publishes_is_answered(shop: Shop, texts: list[str]) -> None:
    """Generated ids are all answered, or nothing is published; without those that the rule refuses they publish."""
    before = shop.generation(TOWN)
    texts = list(dict.fromkeys([*texts, "kept"]))
    if not shop.publish(TOWN, list(texts)).success:
        assert shop.generation(TOWN) == before
        texts = [text for text in texts if TEXT(text) is not None]
        assert shop.publish(TOWN, list(texts)).success
    is_answered(shop, TOWN, list(texts))


@pytest.mark.parametrize(("named", "bad"), REFUSED.items())
def test_other_ids_are_refused_before_anything_is_published(shop: Shop, named: str, bad: str) -> None:
    """The error names the table, the column, the fault and how many ids have it, never an id; readers keep theirs."""
    assert shop.publish(TOWN, ["kept"]).success
    before = shop.generation(TOWN)
    result = shop.publish(TOWN, ["kept", bad, "new"])
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    error = failure.step_failure_data.error
    text = f"{error} {error.cause if error else ''}"
    assert f"{TOWN}/latest: town has ids that cannot be asked for: {named}; 3 ids in all" in text
    assert shop.generation(TOWN) == before
    assert shop.world.look_up(TOWN, "kept").status == 200
    assert shop.world.get(f"{ROOT}/{TOWN}/predictions/{quote(bad, safe='')}").status in (400, 404)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(max_size=MOST_CHARACTERS + 2), max_size=20))
@example(texts=[".", "..", "...", "", "\x00", "\x7f", "\x85", "\x9f", "\xa0", "日" * 257, "👩" * 256])
def test_the_rule_is_the_same_in_sql_and_in_the_api(texts: list[str]) -> None:
    """DuckDB's conditions and the API's parser refuse the same ids."""
    faults = " OR ".join(faults_sql("id").values())
    with duckdb.connect() as connection:
        connection.register("ids", pa.table({"id": pa.array(texts, pa.string())}))
        found = connection.execute(f"SELECT id, {faults} FROM ids").fetchall()
    assert dict(found) == {text: TEXT(text) is None for text in texts}
