"""Rules of erasure and retention that are killed: readers see all of it or nothing, and a repetition ends the same."""

from __future__ import annotations

from signal import SIGKILL

import pytest

from serving_assets.failpoints import FAILPOINTS
from serving_assets.pipeline.privacy import erasure_register
from tests.faults.erasure_child import KEY, clean_up, exit_code, forget
from tests.pipeline.persons import left, others, person_of
from tests.pipeline.slice import Bench, copy_of
from tests.pipeline.test_retention import served, versions

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

__all__ = ["served"]

KILLS = (
    "erasure.after_begin",
    "lake.write.mid_stream",
    "erasure.after_rows:2",
    "lake.write.after_commit:2",
    "erasure.after_rows:11",
    "erasure.before_publish",
    "store.publish.after_begin",
    "store.publish.mid_write",
    "store.publish.before_flip",
    "store.publish.after_flip",
    "erasure.after_publish",
    "erasure.after_files",
    "erasure.after_history:2",
    "erasure.before_examples",
    "erasure.before_receipt",
)
"""In the order in which an erasure passes them, so that each repetition gets further than the one before."""


def test_every_failpoint_has_a_kill() -> None:
    """No failpoint of the erasure stays untested."""
    assert {kill.partition(":")[0] for kill in KILLS} >= {name for name in FAILPOINTS if name.startswith("erasure.")}


@pytest.fixture
def bench(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A copy of the built workspace, to change."""
    return copy_of(built, tmp_path_factory.mktemp("killed"))


def test_an_erasure_that_is_killed_again_and_again_ends_like_an_undisturbed_one(
    bench: Bench, built: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed anywhere, it shows readers the person or not, nobody else changes, and the last run proves all gone."""
    person = person_of(bench)
    undisturbed = copy_of(built, tmp_path_factory.mktemp("undisturbed"))
    forget(undisturbed, person)
    before, documents = others(bench, person), bench.documents()
    without = {entity: text for entity, text in documents.items() if entity != person}

    for kill in KILLS:
        assert exit_code(forget, bench, person, kill) == -SIGKILL, kill
        assert bench.documents() in (documents, without), kill
        assert others(bench, person) == before, kill

    assert exit_code(forget, bench, person, "") == 0
    request = erasure_register.request_of(bench.platform, KEY, person)
    expected = erasure_register.request_of(undisturbed.platform, KEY, person)
    assert request is not None
    assert expected is not None
    assert request.removed == expected.removed
    assert left(bench, request) == []
    assert bench.documents() == without
    assert others(bench, person) == before == others(undisturbed, person)


def test_a_killed_retention_is_repeated(bench: Bench, served: object) -> None:
    """Killed after any table, retention leaves what is wanted whole, and the repetition removes the rest."""
    tables, documents = bench.platform.lake.tables(), bench.documents()
    for nth in (1, len(tables) // 2, len(tables)):
        assert exit_code(clean_up, bench, 40, f"retention.after_table:{nth}") == -SIGKILL
        assert bench.documents() == documents
    assert exit_code(clean_up, bench, 40, "") == 0
    control = bench.platform.store.control(bench.name)
    assert control is not None
    built_on = {generation.snapshot_version for generation in (control.published, control.before) if generation}
    assert versions(bench.platform, f"{bench.name}/latest") == built_on
