"""Rules of the end of a use case: readers get nothing, it can be taken back inside the window, and then all goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from serving_assets.errors import InputError
from serving_assets.pipeline.privacy.retention import retain
from serving_assets.pipeline.privacy.retire import Retirement, retire
from serving_assets.pipeline.publishing.activation_log import is_lost
from serving_assets.pipeline.publishing.restore import restore
from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back
from serving_assets.store import PinnedError
from tests.pipeline.small_shop import NAME, SmallShop

LATER = timedelta(days=32)


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    """A use case with three published predictions."""
    return SmallShop.made(tmp_path)


def end(shop: SmallShop, *, dry_run: bool = False, after: timedelta = timedelta(0)) -> Retirement:
    """Retire the use case."""
    now = datetime.now(UTC) + after
    return retire(shop.platform, shop.instance, NAME, "somebody", reason="over", dry_run=dry_run, now=now)


def test_a_dry_run_says_what_a_retirement_does_and_changes_nothing(shop: SmallShop) -> None:
    """It names the documents and the tables, and readers get what they got."""
    before = shop.documents()
    told = end(shop, dry_run=True)
    assert told.unpublished == {NAME: len(before)}
    assert (told.declared, told.removed) == (True, ())
    assert f"{NAME}/latest" in told.kept
    assert shop.documents() == before
    assert end(shop.without_use_cases()).unpublished == told.unpublished


def test_a_retired_use_case_serves_nothing_and_no_run_publishes_it(shop: SmallShop) -> None:
    """No value stays in any slot; the nightly run is refused; the log says who ended it; it is no loss."""
    end(shop)
    assert shop.documents() == {}
    stored = list(shop.platform.store.every_document(NAME))
    assert {(document.cur, document.prev) for document in stored} <= {(None, None)}
    with pytest.raises(PinnedError):
        shop.publish()
    assert shop.documents() == {}
    log = shop.log.entries()
    assert (log[-1].kind, log[-1].by, log[-1].reason) == ("retire", "somebody", "over")
    shop.platform.store.close()
    assert not is_lost(None, log)
    with pytest.raises(InputError, match="was retired at"):
        restore(shop.platform, shop.collection, "somebody", shop.runs)


def test_a_retirement_is_repeated_and_taken_back(shop: SmallShop) -> None:
    """The second time changes nothing; a rollback inside the window brings the documents back."""
    before = shop.documents()
    end(shop)
    control = shop.platform.store.control(NAME)
    assert end(shop.without_use_cases()).unpublished == {NAME: 0}
    again = shop.platform.store.control(NAME)
    assert control is not None
    assert again is not None
    assert (again.active, again.taken) == (control.active, control.taken)
    roll_back(shop.platform, shop.collection, RollbackRequest("somebody"), shop.runs)
    assert shop.documents() == before


def test_after_the_window_retention_removes_what_is_left(shop: SmallShop) -> None:
    """Tables and bundles go in the night after the window, shared tables stay, and a repetition removes nothing."""
    bare = shop.without_use_cases()
    bare.platform.lake.table("mapped/towns").replace(pa.table({"person": [1]}).to_reader())
    (shop.settings.bundles_dir / NAME / "1").mkdir(parents=True)
    end(bare)
    retain(bare.platform)
    tables = bare.platform.lake.tables()
    assert f"{NAME}/latest" in tables
    told = retain(bare.platform, dry_run=True, now=datetime.now(UTC) + LATER)
    assert bare.platform.lake.tables() == tables
    removed = retain(bare.platform, now=datetime.now(UTC) + LATER)
    assert [f for f in removed if "retired" in f.what] == [f for f in told if "retired" in f.what]
    assert not any(name.startswith(f"{NAME}/") for name in bare.platform.lake.tables())
    assert bare.platform.lake.tables() == ["mapped/towns"]
    assert not (shop.settings.bundles_dir / NAME).exists()
    assert not any("retired" in found.what for found in retain(bare.platform, now=datetime.now(UTC) + LATER))


def test_a_name_of_nothing_is_refused(shop: SmallShop) -> None:
    """A typing error is told."""
    with pytest.raises(InputError, match="Nothing of a use case 'purchase'"):
        retire(shop.platform, shop.instance, "purchase", "somebody")


def test_the_log_of_a_collection_that_was_never_retired_keeps_its_tables(shop: SmallShop) -> None:
    """A folder that is removed without `retire` loses no table to retention, however long it is gone."""
    retain(shop.without_use_cases().platform, now=datetime.now(UTC) + timedelta(days=365))
    assert f"{NAME}/latest" in shop.platform.lake.tables()
    assert shop.log.entries()
