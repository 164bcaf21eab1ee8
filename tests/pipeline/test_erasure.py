"""Rules of an erasure: nothing of the person is left anywhere, everybody else is untouched, and nobody comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from serving_assets.cli import app
from serving_assets.engines.delete_rows import delete_rows
from serving_assets.errors import InputError, ServingAssetsError
from serving_assets.lake import DayRange
from serving_assets.pipeline.observing.prediction_provenance import trace
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_person import SWEPT_AGAIN, due, erase, remains
from serving_assets.pipeline.privacy.retention import retain
from serving_assets.pipeline.publishing.published_documents import collections_of, documents_of
from serving_assets.pipeline.publishing.publisher import parity_with
from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back
from serving_assets.settings import get_settings
from serving_assets.store import remove_tombstones, rollback
from tests.pipeline.persons import KEY, Erased, deliver_twice, forget, left, others, person_of
from tests.pipeline.slice import DAY, NAME, Bench, copy_of
from tests.pipeline.test_retention import publish

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def erased(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Erased:
    """Tests must not change it."""
    bench = copy_of(built, tmp_path_factory.mktemp("erased"))
    person = person_of(bench)
    deliver_twice(bench, person)
    latest = bench.platform.lake.table(f"{NAME}/latest")
    delete_rows(bench.platform.engine, latest, "household_id % 20 = 8 AND household_id <> $who", {"who": person})
    publish(bench.platform, collections_of(bench.use_case)[0])
    before, documents = others(bench, person), bench.documents()
    return Erased(bench, person, forget(bench, person), before, documents)


def test_nothing_is_left(erased: Erased) -> None:
    """No row, no data file of any version or of none, no entry of a log and no document names the person."""
    assert left(erased.bench, erased.request) == []
    assert erased.request.erased_at is not None


def test_the_bytes_are_gone_too(erased: Erased) -> None:
    """The same, found without the platform: every Parquet file on disk is read, whoever wrote it."""
    files = list(Path(erased.bench.settings.lake).rglob("*.parquet"))
    named = [file for file in files if KEY in pq.read_schema(file).names]
    assert len(named) > 100, "too few files to prove anything"
    for file in named:
        assert erased.person not in pq.read_table(file, columns=[KEY]).column(KEY).to_pylist(), file


def test_everybody_else_is_untouched(erased: Erased) -> None:
    """All rows about others, in every table, and all their documents, are what they were."""
    assert others(erased.bench, erased.person) == erased.before
    assert len(erased.before) >= 12
    remaining = {entity: text for entity, text in erased.documents.items() if entity != erased.person}
    assert erased.bench.documents() == remaining
    assert len(remaining) == len(erased.documents) - 1


def test_the_receipt_counts_and_names_nobody(erased: Erased) -> None:
    """The receipt tells how much was removed from where, rejected rows among it, and holds no key."""
    removed = erased.request.removed
    assert removed["raw/transactions__rejected"] == 1
    assert removed["raw/demographics"] == removed[NAME] == removed[f"{NAME}/latest"] == 1
    for table, count in removed.items():
        assert count > 0
        assert table in erased.before or table in {c.name for c in collections_of(erased.bench.use_case)}
    row = erased.bench.table_rows(erasure_register.REGISTER)[0]
    assert str(erased.person) not in {str(value) for value in row.values()}
    assert KEY not in json.loads(str(row["removed"]))


def test_store_and_lake_agree(erased: Erased) -> None:
    """Parity is green for everything published, against the version that the generation names."""
    platform = erased.bench.platform
    for collection in collections_of(erased.bench.use_case):
        control = platform.store.control(collection.name)
        if control and control.published:
            assert parity_with(platform, documents_of(collection, control.published, platform.lake)).equal


def test_a_repetition_changes_nothing(erased: Erased) -> None:
    """Asked again, nothing is written: no version, no generation, and the same receipt."""
    platform = erased.bench.platform
    tables = {name: platform.lake.table(name).version() for name in platform.lake.tables()}
    control = platform.store.control(NAME)
    assert forget(erased.bench, erased.person) == erased.request
    assert {name: platform.lake.table(name).version() for name in platform.lake.tables()} == tables
    assert platform.store.control(NAME) == control


def test_a_trace_says_that_the_person_was_erased(erased: Erased) -> None:
    """Whoever asks what the person was served is told of the erasure, and is told about others as before."""
    platform, use_case, now = erased.bench.platform, erased.bench.use_case, datetime.now(UTC)
    told = trace(platform, use_case, erased.person, now)
    assert "was erased at" in told.message
    assert (told.served, told.made, told.features) == (None, None, None)
    somebody = next(entity for entity in erased.bench.documents())
    assert trace(platform, use_case, somebody, now).made is not None


@pytest.fixture
def after(erased: Erased, tmp_path: Path) -> Erased:
    """A copy of it, to change."""
    bench = copy_of(erased.bench, tmp_path / "after")
    return Erased(bench, erased.person, erased.request, erased.before, erased.documents)


def test_a_rollback_says_why_it_cannot(after: Erased) -> None:
    """What was served before is given up: every way back is refused with the reason, and the person stays away."""
    collection = collections_of(after.bench.use_case)[0]
    with pytest.raises(InputError, match="when a person is erased"):
        roll_back(after.bench.platform, collection, RollbackRequest("a test", to=1), after.bench.runs)
    with pytest.raises(ServingAssetsError, match="no previous one"):
        rollback(after.bench.platform.store, NAME)
    assert after.person not in after.bench.documents()


def test_the_pipeline_goes_on_without_the_person(after: Erased) -> None:
    """Landing the same files again, mapping, scoring and publishing brings nobody back, and every check is green."""
    bench = after.bench
    outcomes = [*bench.tables(DayRange(DAY - timedelta(days=3), DAY)), bench.score(), bench.publish(), bench.train()]
    assert [outcome.failures for outcome in outcomes] == [()] * len(outcomes)
    assert left(bench, after.request) == []
    assert after.person not in bench.documents()
    assert len(bench.rows("predictions")) == len(bench.documents())


def test_snapshots_landed_anew_leave_the_person_out(after: Erased) -> None:
    """A snapshot that changes is landed again without the person; the others of it are all there."""
    file = next((after.bench.settings.landing / "demographics").iterdir())
    rows = pq.read_table(file)
    pq.write_table(rows.slice(1), file)
    assert [outcome.failures for outcome in after.bench.tables(DayRange(DAY, DAY))] == [()]
    assert left(after.bench, after.request) == []
    landed = after.bench.table_rows("raw/demographics", KEY)
    assert len(landed) == rows.num_rows - 2


def test_the_last_trace_goes_with_its_tombstone(after: Erased) -> None:
    """The empty tombstone, which holds the key alone, is removed when no read can need it any more."""
    platform = after.bench.platform
    subjects = erasure_register.subjects(platform, KEY, {after.request.subject})
    (tombstone, *_) = remains(platform, after.bench.instance, KEY, subjects)
    assert (tombstone.what, tombstone.where, tombstone.count) == ("empty tombstones", NAME, 1)
    (document,) = platform.store.documents(NAME, [after.person]).values()
    assert (document.cur, document.prev) == (None, None)
    for collection in collections_of(after.bench.use_case):
        remove_tombstones(platform.store, collection.name, grace_seconds=0)
    assert remains(platform, after.bench.instance, KEY, subjects) == []


def test_a_run_that_was_under_way_is_swept_up(after: Erased) -> None:
    """Rows that a run had read before and wrote after are found by the next night's run, and go then."""
    bench = after.bench
    row = bench.rows("features")[0] | {KEY: after.person}
    stored = bench.platform.lake.table(f"{NAME}/features")
    rows = [*bench.rows("features", where=f"day = DATE '{DAY}'"), row | {"day": DAY}]
    stored.replace(pa.Table.from_pylist(rows, schema=stored.schema()).to_reader(), where={"day": DAY})
    assert [(found.what, found.count) for found in left(bench, after.request)][:1] == [("rows", 1)]
    assert erase(bench.platform, bench.instance, due(bench.platform)) == [after.request]
    assert left(bench, after.request) == []
    assert due(bench.platform, datetime.now(UTC) + SWEPT_AGAIN) == []


def test_the_command_erases_once_and_proves_it(after: Erased, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints a receipt, verifies only what was asked for, and exits with 1 while something is left."""
    monkeypatch.setenv("DATA_DIR", str(after.bench.settings.data_dir))
    get_settings.cache_clear()
    run = CliRunner()
    somebody = str(next(entity for entity in after.bench.documents()))
    try:
        assert run.invoke(app, ["forget", KEY, somebody, "--verify"]).exit_code == 1
        assert run.invoke(app, ["forget", KEY, somebody], input="n\n").exit_code == 1
        assert int(somebody) in after.bench.documents()
        told = run.invoke(app, ["forget", KEY, somebody, "--yes", "--json"])
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["removed"][NAME] == 1
        assert somebody not in told.stdout.split('"')
        verified = run.invoke(app, ["forget", KEY, somebody, "--verify", "--json"])
        assert verified.exit_code == 1
        assert [found["what"] for found in json.loads(verified.stdout)] == ["empty tombstones"]
        remove_tombstones(after.bench.platform.store, NAME, grace_seconds=0)
        assert run.invoke(app, ["forget", KEY, somebody, "--verify"]).exit_code == 0
    finally:
        get_settings.cache_clear()


def test_a_legal_delay_is_waited_for(bench: Bench) -> None:
    """Until the delay has passed, nothing changes; then the nightly run erases."""
    person, now = person_of(bench), datetime.now(UTC)
    waiting = Bench(bench.root, bench.catalog)
    waiting.__dict__["settings"] = bench.settings.model_copy(update={"erasure_delay_days": 14})
    request = erasure_register.ask(waiting.platform, KEY, person)
    assert due(waiting.platform, now + timedelta(days=13)) == []
    assert [outcome.failures for outcome in waiting.tables(DayRange(DAY, DAY))] == [()]
    assert person in waiting.documents()
    later = now + timedelta(days=15)
    assert due(waiting.platform, later) == [request]
    assert erase(waiting.platform, waiting.instance, due(waiting.platform, later), later)[0].erased_at == later
    assert left(waiting, request) == []


def test_a_pinned_generation_stays_pinned(bench: Bench) -> None:
    """After a rollback, the generation that readers get loses the person and nothing else, and the pin holds."""
    person, collection = person_of(bench), collections_of(bench.use_case)[0]
    latest = bench.platform.lake.table(collection.table)
    first = bench.documents()
    delete_rows(bench.platform.engine, latest, "household_id % 20 = 8", {})
    publish(bench.platform, collection)
    roll_back(bench.platform, collection, RollbackRequest("on call", reason="looks wrong"), bench.runs)
    assert bench.documents() == first
    request = forget(bench, person)
    control = bench.platform.store.control(NAME)
    assert control is not None
    assert control.pinned is not None
    assert (control.pinned.by, control.pinned.reason) == ("on call", "looks wrong")
    assert bench.documents() == {entity: text for entity, text in first.items() if entity != person}
    assert left(bench, request) == []
    retain(bench.platform)


@pytest.mark.parametrize("loss", ["gone", "another"])
def test_without_its_secret_nothing_is_landed(after: Erased, loss: str) -> None:
    """Where erased persons could not be recognised, landing is refused rather than bringing them back."""
    secret = after.bench.settings.data_dir / erasure_register.SECRET_FILE
    assert secret.stat().st_mode & 0o077 == 0
    secret.unlink()
    if loss == "another":
        secret.write_text("another\n", encoding="ascii")
    (outcome,) = after.bench.tables(DayRange(DAY, DAY))
    assert any("cannot be recognised" in failure for failure in outcome.failures), outcome.failures


def test_a_file_that_nobody_finished_is_not_passed_over(after: Erased) -> None:
    """What a killed writer left cannot be read, so the proof names it until it is old enough to be removed."""
    table = after.bench.platform.lake.table("mapped/baskets")
    Path(table.uri, "part-killed.parquet").write_bytes(b"PAR1 some pages and no footer")
    (found,) = left(after.bench, after.request)
    assert (found.what, found.where, found.count) == ("data files", "mapped/baskets", 1)
    assert "after 24 hours it counts as abandoned" in found.hint
    with pytest.raises(ServingAssetsError, match="1 data files of mapped/baskets"):
        erase(after.bench.platform, after.bench.instance, [after.request])
    later = datetime.now(UTC) + timedelta(days=2)
    assert erase(after.bench.platform, after.bench.instance, [after.request], later) == [after.request]
    assert left(after.bench, after.request) == []


def test_an_unknown_key_is_told_the_known_ones(bench: Bench) -> None:
    """A key that no use case has is refused with those that exist."""
    with pytest.raises(InputError, match=r"No use case and no table has an entity key 'person'.*household_id"):
        erasure_register.ask(bench.platform, "person", 1)


def test_somebody_nobody_knows_is_erased_without_a_trace(bench: Bench) -> None:
    """Erasing an unknown key writes no table but the register, and its receipt is empty."""
    tables = {name: bench.platform.lake.table(name).version() for name in bench.platform.lake.tables()}
    request = forget(bench, 999_999)
    assert request.erased_at is not None
    assert request.removed == {}
    known = {name: bench.platform.lake.table(name).version() for name in tables}
    assert known == tables
