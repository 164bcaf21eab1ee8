"""The API over the real data: the answers that the pages show, a publish that is seen, and equality with the batch.

Not here: the rules of single answers (tests/serving), or how fast they come (benchmarks/).
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pymongo import MongoClient

from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.lake import DayRange
from serving_assets.pipeline.observing.fallback_gap import fallback_gap
from serving_assets.settings import PROJECT
from tests.e2e.real import CATALOG, FALLBACK, RealBench, make, yesterday
from tests.pipeline.slice import NAME
from tests.serving.world import World, soon

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

BASE = "http://127.0.0.1:8000"
PAGES = [PROJECT / "README.md", PROJECT / "docs" / "demo.md"]
SECTIONS = [page.read_text().partition("\n## Ask the API\n")[2].partition("\n## ")[0] for page in PAGES]
ASKED = [
    asked for one in SECTIONS for asked in re.findall(r"```sh\n(curl .*?)```\s+```json\n(.*?)```", one, flags=re.S)
]
CLOCKED = {"score": float, "as_of": str, "age_seconds": int, "model_version": str, "generation": int}
"""Members whose value follows the calendar, with their types."""
HOUSEHOLD, NEWCOMER = 733, 999_999


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealBench:
    """A workspace up to the day before yesterday. Tests must not change it."""
    return make(tmp_path_factory.mktemp("real") / "workspace")


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def bench(
    real: RealBench, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RealBench]:
    """A copy over either store. Tests may publish there, and nothing else."""
    root = tmp_path_factory.mktemp(request.param) / "workspace"
    if request.param == "sqlite":
        yield real.copied(root)
        return
    uri, database = request.getfixturevalue("mongodb_uri"), f"tests_{uuid4().hex[:16]}"
    moved = real.copied(root, uri, database)
    moved.publish_all()
    yield moved
    with MongoClient[dict[str, object]](uri) as client:
        client.drop_database(database)


@contextmanager
def api(bench: RealBench) -> Iterator[World]:
    """The API of a workspace, in a process of its own."""
    store = {"MONGODB_URI": bench.mongodb, "MONGODB_DATABASE": bench.database}
    with World(bench.settings.data_dir, CATALOG).served(**store) as world:
        yield world


def settled(answer: Any) -> Any:
    """`answer` with its calendar's values replaced by their types, which they must have."""
    if isinstance(answer, list):
        return [settled(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    kept = {}
    for name, value in answer.items():
        kept[name] = settled(value)
        if name in CLOCKED and value is not None:
            assert type(value) is CLOCKED[name], (name, value)
            kept[name] = CLOCKED[name].__name__
        if name == "as_of":
            assert datetime.fromisoformat(value)
    return kept


@pytest.mark.must_run
def test_the_pages_ask_and_get_what_they_show(bench: RealBench) -> None:
    """Every curl line of the pages, as it stands, gives the answer shown, but for what the calendar decides."""
    assert len(ASKED) >= 8
    with api(bench) as world:
        for command, shown in ASKED:
            command = command.replace(BASE, f"http://127.0.0.1:{world.port}")
            done = subprocess.run(command, shell=True, capture_output=True, check=True)
            found, expected = json.loads(done.stdout), json.loads(shown)
            assert settled(found) == settled(expected)
            assert list(found) == list(expected)


@pytest.mark.must_run
def test_a_new_household_a_known_one_and_the_same_one_after_a_publish(bench: RealBench) -> None:
    """A newcomer gets the fallback; a known household what was published, within a second of a publish what is new."""
    day, basket = yesterday(), {"basket_value": 23.5, "store": "367"}
    published = prediction(bench, day - timedelta(days=1))
    with api(bench) as world:
        assert world.score(NAME, entity_id=NEWCOMER, features=basket).json["source"] == "fallback"
        before = world.score(NAME, entity_id=HOUSEHOLD, features=basket).json
        assert (before["source"], before["prediction"]) == ("batch", {"score": published})
        bench.arrive(DayRange(day, day))
        bench.score_and_publish(day)
        assert soon(lambda: world.look_up(NAME, HOUSEHOLD).json["generation"] == before["generation"] + 1)
        after = world.score(NAME, entity_id=HOUSEHOLD).json
        assert after["prediction"] == {"score": prediction(bench, day)} != before["prediction"]
        newcomer = world.score(NAME, entity_id=NEWCOMER, features=basket).json
        assert (newcomer["source"], newcomer["model"]) == ("fallback", FALLBACK)


def prediction(bench: RealBench, day: date) -> float:
    """What the batch has made for the household, as published."""
    (row,) = bench.rows("predictions", "score", f"day = DATE '{day}' AND household_id = {HOUSEHOLD}")
    return round(float(str(row["score"])), bench.use_case.spec.predictions.precision)


def test_batch_and_api_give_the_same_bits_for_ten_thousand_rows(real: RealBench, tmp_path: Path) -> None:
    """Rows of the features table get, partly from the request and partly from the store, the batch's very scores."""
    bench, day = real.copied(tmp_path / "bench"), yesterday() - timedelta(days=1)
    rows, batch = replayed(bench, day)
    assert len(rows) == len(batch) >= 10_000
    names = bench.use_case.feature_names
    with api(bench) as world:
        assert world.get("/readyz").status == 200
        connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
        found = []
        for row in rows:
            entity = row["household_id"]
            given = {name: row[name] for index, name in enumerate(names) if (index + entity) % 3 == 0}
            body = json.dumps({"entity_id": entity, "features": given})
            connection.request("POST", f"/v1/use-cases/{NAME}/score", body, {"content-type": "application/json"})
            found.append(json.load(connection.getresponse()))
        connection.close()
    assert {(one["source"], one["reason"]) for one in found} == {("on_the_fly", "requested")}
    scores = np.array([one["prediction"]["score"] for one in found])
    assert scores.tobytes() == np.array([batch[row["household_id"]] for row in rows]).tobytes()


def replayed(bench: RealBench, day: date) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """Feature rows of five days under new ids, published as stored features, and the batch's scores of them."""
    for back in range(1, 5):
        outcome = bench.run("features", day=day - timedelta(days=back))
        assert outcome.success, outcome.failures
    p, use_case = bench.platform, bench.use_case
    table = p.lake.table(use_case.lake_name("features"))
    number = "row_number() OVER (ORDER BY day, household_id)"
    numbered = f"SELECT * REPLACE (DATE '{day}' AS day, {number} AS household_id) FROM t"
    query = Query(numbered, {"t": Input(table.scan())})
    table.replace(p.engine.collect(query).to_reader(), where={DAY: day})
    assert bench.run("online_features", day=None).success
    features = Input(table.scan({DAY: day}))
    scorer = p.registry.bundle(NAME, p.registry.serving_champion(NAME)).scorer()
    p.engine.score(features, scorer, "household_id", {}, Target(p.lake.table("replay/predictions")))
    scored = {row["household_id"]: row["score"] for row in bench.table_rows("replay/predictions")}
    return p.engine.collect(Query("SELECT * FROM t", {"t": features})).to_pylist(), scored


def test_what_the_fallback_costs_is_measured_on_the_same_rows(real: RealBench) -> None:
    """The gap is of held-out rows that both models can be asked about, and the full model is the better one."""
    gap = fallback_gap(real.platform, real.use_case, resamples=200)
    assert gap is not None
    assert (gap.use_case, gap.fallback, gap.days) == (NAME, FALLBACK, 1)
    assert 100 < gap.rows < 1_000
    assert 0.1 < gap.auc.low < gap.auc.difference < gap.auc.high
    assert fallback_gap(real.platform, real.catalog.use_cases[FALLBACK]) is None
