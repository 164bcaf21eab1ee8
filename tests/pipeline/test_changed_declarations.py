"""Rules of a declaration that changes while there is data: each change has a way that works, and it is named.

Not here: declarations on an empty workspace (test_declarations.py), or the rules of the lake's types
(tests/unit/lake/test_replace.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.pipeline.migration import migrate_table
from tests.pipeline.slice import Bench, copy_of
from tests.pipeline.tiny import COLUMNS, DAY, NAME, PERSONS, Tiny, land, rows, score_and_read_back, trained

pytestmark = pytest.mark.long

BEFORE = Tiny({"flag": "bool_or(flag)", "small": "max(small)", "long": "round(max(long), 2)", "word": "max(word)"})
FEATURES = f"{NAME}/features"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A workspace with a champion and published scores, made under the declaration BEFORE."""
    bench = trained(BEFORE.bench(tmp_path_factory.mktemp("old")), rows())
    score_and_read_back(bench)
    return bench


@dataclass(frozen=True)
class Change:
    """Features as they are declared now, what the next run says, the table to migrate, and whether to train."""

    features: dict[str, str]
    message: str
    migrate: str | None = None
    train: bool = True


CHANGES = {
    "removed": Change(
        {"flag": "bool_or(flag)", "small": "max(small)", "word": "max(word)"},
        r"'long' \(float64\) is missing.* train and promote a model for the new columns",
    ),
    "renamed": Change(
        {"flag": "bool_or(flag)", "little": "max(small)", "long": "round(max(long), 2)", "word": "max(word)"},
        r"'small' \(int32\) is missing",
    ),
    "added": Change({**BEFORE.features, "big": "max(big)"}, "", train=False),
    "added, and used": Change({**BEFORE.features, "big": "max(big)"}, ""),
    "number to text": Change(
        {**BEFORE.features, "small": "CAST(max(small) AS VARCHAR)"},
        rf"small is int32 in the table and string in the new rows.*serving-assets migrate {FEATURES}",
        FEATURES,
    ),
    "widened": Change(
        {**BEFORE.features, "small": "CAST(max(small) AS BIGINT)"},
        rf"small is int32 in the table and int64 in the new rows.*serving-assets migrate {FEATURES}",
        FEATURES,
        train=False,
    ),
    "bool to number": Change(
        {**BEFORE.features, "flag": "CAST(bool_or(flag) AS INTEGER)"},
        rf"flag is bool in the table and int32 in the new rows.*serving-assets migrate {FEATURES}",
        FEATURES,
    ),
}


def under(bench: Bench, root: Path, tiny: Tiny) -> Bench:
    """A copy of a workspace under another declaration."""
    return tiny.bench(copy_of(bench, root).root)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_feature_has_a_way(old: Bench, tmp_path: Path, change: Change) -> None:
    """The next run works or says what to do; after that the scores are read back, and older rows have kept theirs."""
    bench = under(old, tmp_path / "new", replace(BEFORE, features=change.features))
    before = old.rows("features", "person, flag::INTEGER AS flag, word", "true")
    if change.message:
        outcome = bench.score(DAY)
        assert not outcome.success
        assert re.search(change.message, outcome.failures[0]), outcome.failures
        if "is missing" in change.message:
            online = bench.run("online_features", day=None)
            assert re.search(r"version 1 needs (long|small), which features\.sql does not return", online.failures[0])
    if change.migrate:
        assert migrate_table(bench.platform, change.migrate)
        assert migrate_table(bench.platform, change.migrate) == {}
    if change.train:
        trained_again = bench.train()
        assert trained_again.success, trained_again.failures
    assert len(score_and_read_back(bench)) == PERSONS
    assert bench.rows("features", "person, flag::INTEGER AS flag, word", "true") == before


def test_a_column_of_a_source_is_widened(old: Bench, tmp_path: Path) -> None:
    """An upstream system that grows its numbers: the landing names the command, and then every table follows."""
    tiny = replace(BEFORE, columns={**COLUMNS, "small": "int64"})
    bench = under(old, tmp_path / "new", tiny)
    land(bench, rows())
    (failed,) = bench.tables(DayRange(DAY, DAY))
    assert "small is int32 in the table and int64 in the new rows" in failed.failures[0]
    assert "serving-assets migrate raw/visits" in failed.failures[0]
    assert migrate_table(bench.platform, "raw/visits") == {"small": ("int32", "int64")}
    (landed,) = bench.tables(DayRange(DAY, DAY))
    assert landed.success, landed.failures
    assert migrate_table(bench.platform, FEATURES) == {"small": ("int32", "int64")}
    assert len(score_and_read_back(bench)) == PERSONS
    trained_again = bench.train()
    assert trained_again.success, trained_again.failures


def test_a_migration_that_would_change_values_is_refused(old: Bench, tmp_path: Path) -> None:
    """Values that the new type does not hold are counted, nothing is written, and a new name is the way."""
    whole = {**BEFORE.features, "long": "CAST(max(long) AS INTEGER)"}
    bench = under(old, tmp_path / "new", replace(BEFORE, features=whole))
    version = bench.platform.lake.table(FEATURES).version()
    with pytest.raises(
        InputError, match=r"features: values would change: long in \d+ rows \(float64 to int32\)\. Give"
    ):
        migrate_table(bench.platform, FEATURES)
    assert bench.platform.lake.table(FEATURES).version() == version
    named = {name if name != "long" else "long_whole": sql for name, sql in whole.items()}
    bench = under(bench, tmp_path / "named", replace(BEFORE, features=named))
    assert bench.train().success
    assert len(score_and_read_back(bench)) == PERSONS


def test_what_is_no_table_of_the_catalog_is_not_migrated(old: Bench) -> None:
    """Tables that are written as a whole, or that nobody declares, are refused with those that there are."""
    for name in (f"{NAME}/latest", "raw/nothing"):
        with pytest.raises(InputError, match=rf"{name} is no raw, mapped or features table.*raw/visits, {FEATURES}"):
            migrate_table(old.platform, name)


def test_a_renamed_prediction_column_needs_a_training(old: Bench, tmp_path: Path) -> None:
    """A champion that gives another column than the declared one does not score; a new one does."""
    bench = under(old, tmp_path / "new", replace(BEFORE, predictions='columns={"chance": Between(0, 1)}'))
    outcome = bench.score(DAY)
    assert "version 1 gives score, and declared is chance. Train a model" in outcome.failures[0]
    trained_again = bench.train()
    assert trained_again.success, trained_again.failures
    day = DAY - timedelta(days=1)
    assert bench.score(day).success
