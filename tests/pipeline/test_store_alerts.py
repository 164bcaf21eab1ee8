"""Rules of a store that is lost or damaged while the daemon runs: reported by the next evaluation, and repaired."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serving_assets.pipeline.automation.gaps import find_gaps
from serving_assets.pipeline.publishing.restore import restore_all
from tests.pipeline.slice import NAME, Bench
from tests.pipeline.test_alerts import looked

LOST = f"{NAME}/online:store_lost"
UNREACHABLE = "online_store:store_unreachable"


def store_file(bench: Bench) -> Path:
    """The SQLite file that holds the store."""
    return bench.settings.data_dir / "online.db"


def test_a_file_that_was_moved_away_is_a_loss_that_catching_up_repairs(bench: Bench) -> None:
    """The open connection of this process does not hide it; a day later the incident is over by itself."""
    documents = bench.documents()
    assert LOST not in looked(bench)
    store_file(bench).rename(bench.root / "moved.db")
    found = looked(bench)
    assert "has lost generation 1" in found[LOST].last.message
    assert found[LOST].last.owners == bench.use_case.spec.owners
    assert UNREACHABLE not in found
    gap = find_gaps(bench.view, bench.platform, bench.use_case, datetime.now(UTC) + timedelta(days=1))[-1]
    assert (gap.state, gap.day, "lost purchase_propensity" in gap.why) == ("due", None, True)
    assert bench.run("online", day=None).success
    assert bench.documents() == documents
    assert LOST not in looked(bench)


def test_a_file_that_was_overwritten_in_place_is_reported_and_restored(bench: Bench) -> None:
    """A new connection is damaged although the open one still answers; after the repair the incident is over."""
    documents = bench.documents()
    file = store_file(bench)
    bench.platform.store.close()
    content = os.urandom(file.stat().st_size)
    bench.documents()
    for part in bench.settings.data_dir.glob("online.db-*"):
        part.write_bytes(b"")
    with file.open("r+b") as opened:
        opened.write(content)
    assert UNREACHABLE in looked(bench)
    assert len(looked(bench)[UNREACHABLE].last.message) < 1_000
    for part in bench.settings.data_dir.glob("online.db*"):
        part.unlink()
    found = looked(bench)
    assert UNREACHABLE not in found
    assert LOST in found
    assert all(one.parity.equal for one in restore_all(bench.platform, bench.use_case, "somebody", bench.runs))
    assert bench.documents() == documents
    assert LOST not in looked(bench)
