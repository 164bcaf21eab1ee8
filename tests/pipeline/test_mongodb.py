"""The line on MongoDB: nothing but MONGODB_URI changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving_assets.pipeline.operations.restore import restore
from serving_assets.pipeline.snapshot import predictions_of
from serving_assets.store.mongo import MongoStore
from tests.pipeline.slice import NAME, Bench, copy_of


@pytest.mark.must_run
def test_a_workspace_moves_to_mongodb(
    built: Bench, tmp_path: Path, mongodb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MONGODB_URI set, restore brings there what was published elsewhere, and the stages publish there."""
    monkeypatch.setenv("MONGODB_URI", mongodb_database)
    bench = copy_of(built, tmp_path / "bench")
    assert isinstance(bench.platform.store, MongoStore)
    assert restore(bench.platform, predictions_of(bench.use_case), "somebody").parity.equal
    assert bench.documents() == built.documents()
    outcome = bench.publish()
    assert outcome.success, outcome.failures
    online = next(
        spec for asset in bench.defs.assets or () for spec in asset.specs if spec.key.path == [NAME, "online"]
    )
    assert "mongodb" in online.kinds
