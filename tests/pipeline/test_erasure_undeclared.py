"""Rules of an erasure and of retention after a declaration was removed: what exists decides, not what is declared."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving_assets.pipeline.dagster_instance.check_examples import count_examples
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.find_person import names_one_of
from serving_assets.pipeline.privacy.retention import retain, served_versions
from serving_assets.pipeline.publishing.published_documents import predictions_of
from serving_assets.store import read
from tests.pipeline.persons import KEY, forget, left, person_of
from tests.pipeline.slice import NAME, Bench
from tests.pipeline.spoiling import alter_documents

pytestmark = pytest.mark.long


def without_use_cases(bench: Bench) -> Bench:
    """The same workspace, with the folders of all use cases removed."""
    return bench.with_catalog(replace(bench.catalog, use_cases={}))


def test_a_person_is_erased_although_the_use_case_was_removed(bench: Bench) -> None:
    """Documents, tables and noted answers of a use case that is gone lose the person, and the proof covers them."""
    person, documents = person_of(bench), bench.documents()
    bare = without_use_cases(bench)
    request = forget(bare, person)
    assert request.removed[NAME] == request.removed[f"{NAME}/latest"] == 1
    assert left(bare, request) == []
    assert read(bare.platform.store, NAME, [person]).values == [None]
    assert len(bench.documents()) == len(documents) - 1
    assert left(bench, request) == []
    assert bench.publish().success, "the declaration is back, and its next publish works"
    assert person not in bench.documents()


def test_a_person_is_erased_from_online_features_that_are_no_longer_declared(bench: Bench) -> None:
    """Without `online_features` in the declaration, its collection is still searched and emptied of the person."""
    person = person_of(bench)
    assert bench.run("online_features", day=None).success
    bound = bench.use_case
    spec = bound.spec.model_copy(update={"online_features": None})
    changed = {**bench.catalog.use_cases, NAME: replace(bound, spec=spec)}
    bare = bench.with_catalog(replace(bench.catalog, use_cases=changed))
    request = forget(bare, person)
    assert request.removed[f"{NAME}.features"] == 1
    assert read(bare.platform.store, f"{NAME}.features", [person]).values == [None]
    assert left(bare, request) == []


def test_example_rows_of_checks_lose_the_person_alone(bench: Bench) -> None:
    """The event log keeps the verdict and the other example rows; those of the person are gone from every copy."""
    alter_documents(bench)
    bench.run("online", day=None)
    shown = bench.examples(bench.asset("online"), "store_parity")
    persons = [int(str(row["entity"])) for row in shown]
    request = forget(bench, persons[0])
    assert left(bench, request) == []
    verdict = bench.verdict(bench.asset("online"), "store_parity")
    assert not verdict.passed
    remaining = [int(str(row["entity"])) for row in bench.examples(bench.asset("online"), "store_parity")]
    assert remaining == persons[1:]
    subjects = erasure_register.subjects(bench.platform, KEY, {request.subject})
    assert count_examples(bench.instance, names_one_of(subjects)) == 0
    stored = b"".join(file.read_bytes() for file in (bench.root / "dagster").rglob("*.db*"))
    assert f'"entity": {persons[1]}'.encode() in stored, "the search below would prove nothing"
    logs = [
        entry
        for run in bench.instance.get_runs()
        for entry in bench.instance.all_logs(run.run_id)
        if "examples" in str(entry.dagster_event) and f"'entity': {persons[0]}," in str(entry.dagster_event)
    ]
    assert logs == []


def test_certificates_of_early_releases_lose_their_rows(bench: Bench) -> None:
    """A row of features in a parity certificate is removed, and the bundle's manifest agrees with what is left."""
    (certificate, *_) = sorted(bench.settings.bundles_dir.rglob("parity.json"))
    stated = json.loads(certificate.read_bytes())
    stated["worst"] = {"group": "validation", "expected": 0.1, "found": 0.1, "features": {"spend_7": 3.5}}
    certificate.write_text(json.dumps(stated))
    request = forget(bench, person_of(bench))
    assert "features" not in json.loads(certificate.read_bytes())["worst"]
    assert left(bench, request) == []
    assert bench.score().success, "the bundle is still whole"


def test_retention_keeps_what_a_removed_use_case_still_serves(bench: Bench) -> None:
    """The version that the active generation was published from stays readable while the use case is undeclared."""
    served = served_versions(bench.platform, predictions_of(bench.use_case), datetime.now(UTC))
    bench.platform.lake.table(f"{NAME}/latest").replace(
        bench.platform.lake.table(f"{NAME}/latest").scan().dataset().scanner().to_reader()
    )
    retain(without_use_cases(bench).platform, now=datetime.now(UTC) + timedelta(days=365))
    for version in served:
        assert bench.platform.lake.table(f"{NAME}/latest").scan(version=version).files()


def test_the_key_of_a_removed_use_case_is_known_from_the_tables(bench: Bench) -> None:
    """A key that no use case declares any more can still be asked for; one that no table has is refused by name."""
    bare = without_use_cases(bench)
    assert erasure_register.entity_of(bare.platform, KEY).dtype == "int64"
    with pytest.raises(Exception, match="no table has an entity key 'nobody_id'"):
        erasure_register.entity_of(bare.platform, "nobody_id")
