"""Rules of online features: the newest row of each entity, rounded as declared, by the protocol of the predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving_assets.catalog.binding import bind_use_case
from serving_assets.catalog.spec import OnlineFeatures
from serving_assets.errors import DeclarationError
from serving_assets.pipeline.publishing.published_documents import features_of
from serving_assets.store import rollback, scan
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import DAY, NAME, Bench

EARLIER = DAY - timedelta(days=7)
SOME = OnlineFeatures(
    columns={
        "days_since_last_purchase": None,
        "shopping_days_28d": None,
        "shopping_days_91d": None,
        "spend_28d": 2,
        "spend_91d": 2,
        "mean_gap_91d": 3,
    }
)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """A workspace to change, whose declaration publishes a few features, some of them rounded."""
    return declared(bench, SOME)


def declared(bench: Bench, online: OnlineFeatures | None) -> Bench:
    """The same workspace with other online features."""
    bound = bench.use_case
    spec = bound.spec.model_copy(update={"online_features": online})
    return bench.with_catalog(
        replace(bench.catalog, use_cases={**bench.catalog.use_cases, NAME: replace(bound, spec=spec)})
    )


def features(bench: Bench) -> dict[Any, dict[str, Any]]:
    """What scoring on the fly finds, by entity."""
    return {entity: json.loads(text) for entity, text in scan(bench.platform.store, f"{NAME}.features")}


def test_without_columns_all_features_are_published_to_the_last_digit(bench: Bench) -> None:
    """A declaration that names no column publishes every feature, exactly as the batch sees it."""
    bench = declared(bench, OnlineFeatures())
    assert bench.run("online_features", day=None).success
    found = features(bench)
    for row in bench.rows("features", where=f"day = DATE '{DAY}'"):
        del row["day"]
        assert found[row.pop("household_id")] == {"v": row}


def test_the_newest_row_is_published_whatever_ran_last(bench: Bench) -> None:
    """An older day that is made later replaces nothing, and counts are exact while amounts are rounded as declared."""
    assert bench.score(EARLIER).success
    outcome = bench.run("online_features", day=None)
    assert outcome.success
    rows = {row["household_id"]: row for row in bench.rows("features", where=f"day = DATE '{DAY}'")}
    found = features(bench)
    assert found.keys() == rows.keys()
    for entity, document in found.items():
        row: Any = rows[entity]
        assert document == {
            "v": {
                "days_since_last_purchase": row["days_since_last_purchase"],
                "shopping_days_28d": row["shopping_days_28d"],
                "shopping_days_91d": row["shopping_days_91d"],
                "spend_28d": pytest.approx(round(row["spend_28d"], 2)),
                "spend_91d": pytest.approx(round(row["spend_91d"], 2)),
                "mean_gap_91d": None if row["mean_gap_91d"] is None else pytest.approx(row["mean_gap_91d"], abs=0.0006),
            }
        }
    told = outcome.made[0].numbers
    assert (told["generation"], told["rows"], told["as_of"]) == (1, len(rows), "2017-06-01T04:00:00Z")
    assert bench.verdict(bench.asset("online_features"), "store_parity").passed


def test_a_few_days_back_keep_who_left(bench: Bench) -> None:
    """With more days declared, an entity that the newest day lacks is served its newest row, and says how old it is."""
    bench = declared(bench, OnlineFeatures(columns={"spend_28d": 2}, days=8))
    name = bench.use_case.lake_name("features")
    assert bench.score(EARLIER).success
    leaver = bench.rows("features", where=f"day = DATE '{EARLIER}'")[0]["household_id"]
    bench.rewrite(name, f"SELECT * FROM t WHERE household_id != {leaver}", {"day": DAY})
    assert bench.run("online_features", day=None).success
    found = features(bench)
    assert found[leaver]["as_of"] == "2017-05-25T04:00:00Z"
    assert sum("as_of" in document for document in found.values()) < len(found) / 10


def test_only_what_changed_behind_the_precision_is_written(bench: Bench) -> None:
    """A second publish writes the documents that differ as published, and none when only hidden decimals moved."""
    assert bench.run("online_features", day=None).success
    name = bench.use_case.lake_name("features")
    bench.rewrite(name, "SELECT * REPLACE (spend_91d + 0.0001 AS spend_91d) FROM t", {"day": DAY})
    assert bench.run("online_features", day=None).made[0].numbers["changed"] == 0
    some = "CASE WHEN household_id % 10 = 0 THEN 1 ELSE 0 END"
    bench.rewrite(name, f"SELECT * REPLACE (spend_91d + {some} AS spend_91d) FROM t", {"day": DAY})
    numbers = bench.run("online_features", day=None).made[0].numbers
    assert numbers["changed"] == len(bench.rows("features", where=f"household_id % 10 = 0 AND day = DATE '{DAY}'"))
    assert numbers["unchanged"] == numbers["rows"] - numbers["changed"]


def test_a_new_declaration_rewrites_everything(bench: Bench) -> None:
    """When other columns are declared, all documents are written anew, and the way back stays open."""
    assert bench.run("online_features", day=None).success
    before = features(bench)
    other = declared(bench, OnlineFeatures(columns={"baskets_91d": None, "spend_91d": 0}))
    numbers = other.run("online_features", day=None).made[0].numbers
    assert numbers["rewritten"] != "no"
    assert numbers["changed"] == numbers["rows"]
    assert all(document["v"].keys() == {"baskets_91d", "spend_91d"} for document in features(other).values())
    rollback(other.platform.store, f"{NAME}.features")
    assert features(other) == before


def test_features_that_failed_a_check_are_not_published(bench: Bench) -> None:
    """A day whose features broke their contract stays out of the store, in later runs too; the older ones stay."""
    assert bench.run("online_features", day=None).success
    before = features(bench)
    bench.rewrite("mapped/household_days", "SELECT * REPLACE (NULL AS household_id) FROM t", {"day": DAY})
    assert not bench.run("features").success
    refused = bench.run("online_features", day=None)
    assert not refused.success
    assert "failed its check contract" in refused.failures[0]
    assert features(bench) == before


def test_a_numberless_value_is_a_missing_one(bench: Bench) -> None:
    """Infinite and undefined numbers, which JSON has not, are published as null."""
    name = bench.use_case.lake_name("features")
    odd = "CASE household_id % 3 WHEN 0 THEN 'inf'::DOUBLE WHEN 1 THEN 'nan'::DOUBLE ELSE 2.5 END"
    bench.rewrite(name, f"SELECT * REPLACE ({odd} AS spend_28d) FROM t", {"day": DAY})
    assert bench.run("online_features", day=None).success
    for entity, document in features(bench).items():
        assert document["v"]["spend_28d"] == (2.5 if entity % 3 == 2 else None)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"spent": 2}, "names 'spent', which is no feature of features.sql.*Choose among: days_since"),
        ({"household_id": None}, "names 'household_id', which is no feature"),
        ({"baskets_91d": 2}, "'baskets_91d' is int32 and has no decimals"),
    ],
)
def test_a_wrong_declaration_is_told_at_load_time(built: Bench, columns: dict[str, int | None], said: str) -> None:
    """A column that is no feature, and a precision of what has no decimals, are refused when the catalog is loaded."""
    path = FIXTURE_CATALOG / "use_cases" / NAME / "use_case.py"
    spec = built.use_case.spec.model_copy(update={"online_features": OnlineFeatures(columns=columns)})
    with pytest.raises(DeclarationError, match=said):
        bind_use_case(spec, Path(path), built.catalog.tables)


def test_a_use_case_without_them_has_no_asset(built: Bench) -> None:
    """Without a declaration there is neither asset nor collection."""
    without = declared(built, None)
    assert features_of(without.use_case) is None
    assert without.asset("online_features") not in without.defs.resolve_asset_graph().get_all_asset_keys()
