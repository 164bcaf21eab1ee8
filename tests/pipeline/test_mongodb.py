"""The line on MongoDB: nothing but MONGODB_URI changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving_assets.pipeline.publishing.published_documents import predictions_of
from serving_assets.pipeline.publishing.restore import restore
from serving_assets.store.mongo import MongoStore
from tests.pipeline.generations import published
from tests.pipeline.persons import forget, left, person_of
from tests.pipeline.slice import NAME, Bench, copy_of


@pytest.mark.must_run
def test_a_workspace_moves_to_mongodb(
    built: Bench, tmp_path: Path, mongodb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MONGODB_URI set, restore brings there what was published elsewhere, and the stages publish there."""
    elsewhere = built.documents()  # before the setting, which `built` would obey if this process has not opened it yet
    monkeypatch.setenv("MONGODB_URI", mongodb_database)
    bench = copy_of(built, tmp_path / "bench")
    assert isinstance(bench.platform.store, MongoStore)
    assert restore(bench.platform, predictions_of(bench.use_case), "somebody", bench.runs).parity.equal
    assert bench.documents() == elsewhere
    outcome = bench.publish()
    assert outcome.success, outcome.failures
    online = next(
        spec for asset in bench.defs.assets or () for spec in asset.specs if spec.key.path == [NAME, "online"]
    )
    assert "mongodb" in online.kinds


@pytest.mark.long
@pytest.mark.must_run
def test_generations_and_an_erasure(
    built: Bench, tmp_path: Path, mongodb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishes, rollbacks near and far, and the erasure of a person end there as they do elsewhere."""
    elsewhere = built.documents()  # before the setting, which `built` would obey if this process has not opened it yet
    monkeypatch.setenv("MONGODB_URI", mongodb_database)
    bench = copy_of(built, tmp_path / "bench")
    assert restore(bench.platform, predictions_of(bench.use_case), "somebody", bench.runs).was == 1
    g = published(bench, 1, 2)
    g.documents[1] = elsewhere
    assert g.roll_back().how == "one write"
    g.assert_sound()
    assert g.roll_back(to=1).how == "republished"
    g.assert_sound()
    g.resume()
    g.publish(3)
    g.assert_sound()
    person = person_of(bench)
    assert person in bench.documents()
    request = forget(bench, person)
    assert left(bench, request) == []
    assert bench.documents() == {entity: text for entity, text in g.documents[g.active - 1].items() if entity != person}
