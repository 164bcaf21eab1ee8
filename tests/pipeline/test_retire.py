"""Rules of the end of a use case: readers get nothing, it can be taken back inside the window, and then all goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving_assets.errors import InputError
from serving_assets.pipeline.privacy.retention import retain
from serving_assets.pipeline.privacy.retire import Retirement, retire
from serving_assets.pipeline.publishing.activation_log import ActivationLog, is_lost
from serving_assets.pipeline.publishing.restore import restore
from tests.pipeline.generations import published
from tests.pipeline.slice import NAME, Bench

LATER = timedelta(days=32)


def undeclared(bench: Bench) -> Bench:
    """The workspace after the folders of all use cases were removed."""
    return bench.with_catalog(replace(bench.catalog, use_cases={}))


def end(bench: Bench, *, dry_run: bool = False, after: timedelta = timedelta(0)) -> Retirement:
    """Retire the use case."""
    now = datetime.now(UTC) + after
    return retire(bench.platform, bench.instance, NAME, "somebody", reason="over", dry_run=dry_run, now=now)


def test_a_dry_run_says_what_a_retirement_does_and_changes_nothing(bench: Bench) -> None:
    """It names the documents and the tables, and readers get what they got."""
    before = bench.documents()
    told = end(bench, dry_run=True)
    assert told.unpublished == {NAME: len(before)}
    assert (told.declared, told.removed) == (True, ())
    assert f"{NAME}/latest" in told.kept
    assert bench.documents() == before
    assert end(undeclared(bench)).unpublished == told.unpublished


def test_a_retired_use_case_serves_nothing_and_no_run_publishes_it(bench: Bench) -> None:
    """No value stays in any slot; the nightly run is refused; the log says who ended it; it is no loss."""
    end(bench)
    assert bench.documents() == {}
    stored = list(bench.platform.store.every_document(NAME))
    assert {(document.cur, document.prev) for document in stored} <= {(None, None)}
    bench.publish()
    assert bench.documents() == {}
    g = published(bench)
    log = g.log.entries()
    assert (log[-1].kind, log[-1].by, log[-1].reason) == ("retire", "somebody", "over")
    bench.platform.store.close()
    assert not is_lost(None, log)
    with pytest.raises(InputError, match="was retired at"):
        restore(bench.platform, g.collection, "somebody", bench.runs)


def test_a_retirement_is_repeated_and_taken_back(bench: Bench) -> None:
    """The second time changes nothing; a rollback inside the window brings the documents back."""
    before = bench.documents()
    end(bench)
    control = bench.platform.store.control(NAME)
    assert end(undeclared(bench)).unpublished == {NAME: 0}
    again = bench.platform.store.control(NAME)
    assert control is not None
    assert again is not None
    assert (again.active, again.taken) == (control.active, control.taken)
    published(bench).roll_back()
    assert bench.documents() == before


def test_after_the_window_retention_removes_what_is_left(bench: Bench) -> None:
    """Tables and bundles go in the night after the window, shared tables stay, and a repetition removes nothing."""
    bare = undeclared(bench)
    end(bare)
    retain(bare.platform)
    tables = bare.platform.lake.tables()
    assert f"{NAME}/historic" in tables
    told = retain(bare.platform, dry_run=True, now=datetime.now(UTC) + LATER)
    assert bare.platform.lake.tables() == tables
    removed = retain(bare.platform, now=datetime.now(UTC) + LATER)
    assert [f for f in removed if "retired" in f.what] == [f for f in told if "retired" in f.what]
    assert not any(name.startswith(f"{NAME}/") for name in bare.platform.lake.tables())
    assert "mapped/household_days" in bare.platform.lake.tables()
    assert not (bench.settings.bundles_dir / NAME).exists()
    assert not any("retired" in found.what for found in retain(bare.platform, now=datetime.now(UTC) + LATER))


def test_a_name_of_nothing_is_refused(bench: Bench) -> None:
    """A typing error is told."""
    with pytest.raises(InputError, match="Nothing of a use case 'purchase'"):
        retire(bench.platform, bench.instance, "purchase", "somebody")


def test_the_log_of_a_collection_that_was_never_retired_keeps_its_tables(bench: Bench) -> None:
    """A folder that is removed without `retire` loses no table to retention, however long it is gone."""
    retain(undeclared(bench).platform, now=datetime.now(UTC) + timedelta(days=365))
    assert f"{NAME}/historic" in bench.platform.lake.tables()
    assert ActivationLog(bench.platform, published(bench).collection).entries()
