"""Rules of a store that is lost or damaged while the daemon runs: reported by the next evaluation, and repaired."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.records import Incident
from serving_assets.pipeline.automation.gaps import find_gaps
from serving_assets.pipeline.observing.alert_sensor import look
from serving_assets.pipeline.publishing.restore import restore_all
from tests.pipeline.fake_instance import FakeInstance
from tests.pipeline.small_shop import NAME, SmallShop

LOST = f"{NAME}/online:store_lost"
UNREACHABLE = "online_store:store_unreachable"


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    """A use case with three published predictions."""
    return SmallShop.made(tmp_path)


def looked(shop: SmallShop) -> dict[str, Incident]:
    """Open incidents after one evaluation, by asset and kind."""
    soon = datetime.now(UTC) + timedelta(seconds=10)
    assert look(shop.instance, shop.platform, shop.defs.resolve_asset_graph(), soon)
    incidents = IncidentStore(AlertsFile(shop.settings.alerts_file)).incidents()
    return {str(incident.key): incident for incident in incidents}


def store_file(shop: SmallShop) -> Path:
    """The SQLite file that holds the store."""
    return shop.settings.data_dir / "online.db"


def test_a_file_that_was_moved_away_is_a_loss_that_catching_up_repairs(shop: SmallShop) -> None:
    """The open connection of this process does not hide it; a day later the incident is over by itself."""
    documents = shop.documents()
    assert LOST not in looked(shop)
    store_file(shop).rename(shop.root / "moved.db")
    found = looked(shop)
    assert "has lost generation 1" in found[LOST].last.message
    assert found[LOST].last.owners == shop.use_case.spec.owners
    assert UNREACHABLE not in found
    gap = find_gaps(FakeInstance(), shop.platform, shop.use_case, datetime.now(UTC) + timedelta(days=1))[-1]
    assert (gap.state, gap.day, "lost buys_again" in gap.why) == ("due", None, True)
    shop.publish()
    assert shop.documents() == documents
    assert LOST not in looked(shop)


def test_a_file_that_was_overwritten_in_place_is_reported_and_restored(shop: SmallShop) -> None:
    """A new connection is damaged although the open one still answers; after the repair the incident is over."""
    documents = shop.documents()
    file = store_file(shop)
    shop.platform.store.close()
    content = os.urandom(file.stat().st_size)
    shop.documents()
    with file.open("r+b") as opened:
        opened.write(content)
    assert UNREACHABLE in looked(shop)
    assert len(looked(shop)[UNREACHABLE].last.message) < 1_000
    for part in shop.settings.data_dir.glob("online.db*"):
        part.unlink()
    found = looked(shop)
    assert UNREACHABLE not in found
    assert LOST in found
    assert all(one.parity.equal for one in restore_all(shop.platform, shop.use_case, "somebody", shop.runs))
    assert shop.documents() == documents
    assert LOST not in looked(shop)
