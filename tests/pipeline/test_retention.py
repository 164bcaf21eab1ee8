"""Rules of retention: what nobody can need goes, and every rollback inside the window still works afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving_assets.engines.delete_rows import delete_rows
from serving_assets.errors import InputError
from serving_assets.lake import Lake
from serving_assets.models.lifecycle.champion import champion_version
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.retention import Removed, retain
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    documents_of,
    newest_documents,
    predictions_of,
)
from serving_assets.pipeline.publishing.publisher import Publisher
from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back
from serving_assets.store.control_record import PUBLISH
from tests.pipeline.slice import Bench

pytestmark = pytest.mark.long

NOW = datetime.now(UTC)
MONTH, YEAR = timedelta(days=40), timedelta(days=365)


@pytest.fixture
def served(bench: Bench) -> PublishedCollection:
    """The predictions, of which four generations were published, each with fewer documents than the one before."""
    collection = predictions_of(bench.use_case)
    for keep in (5, 3, 2):
        latest = bench.platform.lake.table(collection.table)
        delete_rows(bench.platform.engine, latest, f"household_id % 20 >= {4 * (keep - 1)}", {})
        publish(bench.platform, collection)
    return collection


def publish(platform: Platform, collection: PublishedCollection) -> None:
    """Make the newest version what readers get."""
    newest = newest_documents(collection, platform.engine, platform.lake)
    Publisher(platform, collection, "a test", "a test").publish(newest, PUBLISH)


def versions(platform: Platform, table: str) -> set[int]:
    """The versions of a table that have all their files."""
    found = set()
    for entry in platform.lake.table(table).history():
        try:
            platform.lake.table(table).scan(version=entry["version"]).files()
        except InputError:
            continue
        found.add(entry["version"])
    return found


def of(removed: list[Removed], what: str) -> dict[str, Removed]:
    """What was removed of one kind, by place."""
    return {found.where: found for found in removed if found.what == what}


def test_every_rollback_inside_the_window_still_works(bench: Bench, served: PublishedCollection) -> None:
    """After retention, each generation served inside the window is brought back, document by document."""
    log = ActivationLog(bench.platform, served).entries()
    retain(bench.platform)
    for entry in log:
        snapshot = documents_of(served, entry.generation, bench.platform.lake)
        total = snapshot.total(bench.platform.engine)
        assert (total.rows, total.digest) == (entry.generation.rows, entry.generation.digest)
        rolled_back = roll_back(
            bench.platform, served, RollbackRequest("a test", to=entry.generation.number), bench.runs
        )
        assert rolled_back.equal
        assert len(bench.documents()) == entry.generation.rows
        retain(bench.platform)


def test_beyond_the_window_only_what_the_store_builds_on_stays(bench: Bench, served: PublishedCollection) -> None:
    """Older generations go, but never the active one or the one before it, and a rollback to others says why not."""
    removed = of(retain(bench.platform, now=NOW + MONTH), "files of old versions")
    assert removed[served.table].files > 0
    control = bench.platform.store.control(served.name)
    assert control is not None
    assert control.published is not None
    assert control.before is not None
    kept = {control.published.snapshot_version, control.before.snapshot_version}
    assert versions(bench.platform, served.table) == kept
    with pytest.raises(InputError, match=r"generation 1 cannot be brought back.*"):
        roll_back(bench.platform, served, RollbackRequest("a test", to=1), bench.runs)
    assert roll_back(bench.platform, served, RollbackRequest("a test"), bench.runs).equal


def test_the_pipeline_goes_on_after_retention(bench: Bench, served: PublishedCollection) -> None:
    """Whatever was removed, the next merge and publish end as they would have without it."""
    retain(bench.platform, now=NOW + YEAR)
    outcomes = [bench.score(), bench.publish()]
    assert [outcome.failures for outcome in outcomes] == [(), ()]
    assert len(bench.documents()) == len(bench.rows("predictions"))


def test_a_dry_run_tells_what_a_run_then_removes(bench: Bench, served: PublishedCollection) -> None:
    """A dry run changes nothing and names the same files and bytes; a second run finds nothing more."""
    before = bench.platform.lake.table(served.table).storage.walk()
    told = retain(bench.platform, dry_run=True, now=NOW + MONTH)
    assert told
    assert bench.platform.lake.table(served.table).storage.walk() == before
    assert retain(bench.platform, now=NOW + MONTH) == told
    assert retain(bench.platform, now=NOW + MONTH) == []


def test_a_version_that_is_needed_and_damaged_stops_the_removal(bench: Bench, served: PublishedCollection) -> None:
    """Where a file that a rollback needs is missing, nothing of the table is removed, and the file is named."""
    control = bench.platform.store.control(served.name)
    assert control is not None
    assert control.before is not None
    latest = bench.platform.lake.table(served.table)
    Path(latest.scan(version=control.before.snapshot_version).files()[0].uri).unlink()
    before = latest.storage.walk()
    with pytest.raises(InputError, match="is missing"):
        retain(bench.platform, now=NOW + MONTH)
    assert latest.storage.walk() == before


def test_rejected_rows_go_after_their_time(bench: Bench) -> None:
    """Rows that broke a contract are kept as long as declared, and what was accepted is not touched."""
    rejected, accepted = "raw/transactions__rejected", bench.platform.lake.table("raw/transactions")
    columns = "day, 'broken' AS reason, '{}' AS row, _source_file, _ingested_at - INTERVAL 80 DAY AS _ingested_at"
    rows = bench.table_rows("raw/transactions", f"{columns}", "day = DATE '2017-05-31'")
    _put(bench.platform.lake, rejected, rows)
    assert of(retain(bench.platform), "rejected rows") == {}
    kept = accepted.version()
    assert of(retain(bench.platform, now=NOW + timedelta(days=11)), "rejected rows")[rejected].rows == len(rows)
    assert bench.table_rows(rejected) == []
    assert accepted.version() == kept


def test_tombstones_go_when_no_read_can_need_them(
    bench: Bench, served: PublishedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents that were removed leave no trace once their generation has rested."""
    assert of(retain(bench.platform), "tombstones") == {}
    monkeypatch.setattr("serving_assets.store.maintain.datetime", _in(timedelta(hours=2)))
    assert of(retain(bench.platform), "tombstones")[served.name].rows > 0
    visible = set(bench.documents())
    control = bench.platform.store.control(served.name)
    assert control is not None
    assert control.before is not None
    stored = {document.entity for document in bench.platform.store.every_document(served.name)}
    assert visible < stored
    assert len(stored) == control.before.rows


@pytest.mark.parametrize(
    ("what", "path"),
    [
        ("spilled data", "scratch/duckdb_temp_storage-0.tmp"),
        ("unfinished download", "bundles/purchase_propensity/.7-abc/scorer.onnx"),
        ("model bundle", "bundles/purchase_propensity/7/scorer.onnx"),
    ],
)
def test_leftovers_of_killed_processes_go_when_they_are_old(bench: Bench, what: str, path: str) -> None:
    """Files that nobody works on any more are removed, those that somebody may be writing are not."""
    file = bench.settings.data_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"0123456789")
    assert of(retain(bench.platform), what) == {}
    age = (NOW - MONTH).timestamp()
    for each in (file, file.parent):
        os.utime(each, (age, age))
    (found,) = of(retain(bench.platform), what).values()
    assert (found.files, found.bytes) == (1, 10)
    assert not file.exists()


def test_the_nightly_job_erases_and_retains(bench: Bench) -> None:
    """The job that runs every night carries out what is due, removes what is old, and tells both."""
    erasure_register.ask(bench.platform, "household_id", 8)
    result = bench.defs.get_job_def("housekeeping").execute_in_process(instance=bench.instance)
    assert result.success
    assert [request.erased_at is not None for request in erasure_register.requests(bench.platform)] == [True]
    outputs = {event.step_key: event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"}
    told = {step: event.step_output_data.metadata for step, event in outputs.items()}
    assert told["erase_due"]["erased"].value == 1
    assert "8" not in {str(record.data["subject"]) for record in told["erase_due"]["receipts"].records}
    assert told["retain"]["files"].value >= 0
    (schedule,) = [found for found in bench.defs.schedules or [] if found.name == "housekeeping_schedule"]
    assert schedule.job_name == "housekeeping"


def test_a_bundle_that_serves_stays(bench: Bench) -> None:
    """The champion's bundle and the pointer to it are never removed, however long ago they were written."""
    retain(bench.platform, now=NOW + YEAR)
    assert (bench.settings.bundles_dir / bench.name / "1").is_dir()
    assert champion_version(bench.settings.bundles_dir, bench.name) == "1"


def _put(lake: Lake, name: str, rows: list[dict[str, object]]) -> None:
    import pyarrow as pa

    table = lake.table(name)
    table.replace(pa.Table.from_pylist(rows, schema=table.schema()).to_reader(), partition_by=("day",))


def _in(delay: timedelta) -> Callable[..., datetime]:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + delay

    return Later
