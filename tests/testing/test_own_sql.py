"""`serving_assets.testing`: a team's SQL tried in a few lines, and the checks that fit any catalog.

Not here: the shipped catalog's own SQL (tests/shipped_catalog/).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from serving_assets.catalog.discovery import Catalog, load_catalog
from serving_assets.errors import InputError
from serving_assets.testing import features, generic_checks, labels, mapped
from tests.unit.catalog.small_catalog import write_catalog

FEATURES, DAYS = "use_cases/buys_again/features.sql", "domains/shop/person_days.sql"
SOLD = [
    {"person": 1, "last_sold_at": "2017-05-30 10:00"},
    {"person": 1, "last_sold_at": "2017-05-31 23:59"},
    {"person": 2, "last_sold_at": "2017-06-01 00:00"},
]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """The small catalog."""
    return load_catalog(write_catalog(tmp_path))


def test_features_see_what_production_sees(catalog: Catalog) -> None:
    """Rows until the local end of the day count, those after it do not; a table that is left out is empty."""
    rows = {"person_days": SOLD, "towns": [{"person": 1, "town": "Bern"}]}
    found = features("buys_again", rows, as_of="2017-05-31", catalog=catalog)
    assert found == [{"person": 1, "days": 2, "town": "Bern"}]
    (row,) = features("buys_again", {"person_days": SOLD}, as_of=date(2017, 5, 30), catalog=catalog)
    assert (row["days"], row["town"]) == (1, None)


def test_labels_see_the_days_after(catalog: Catalog) -> None:
    """A label looks at the days from `as_of` on."""
    found = labels("buys_again", {"person_days": SOLD}, as_of="2017-05-31", catalog=catalog)
    assert found == [{"person": 2, "label": 1.0}]


def test_a_mapped_table_gets_its_days_from_the_event_time(catalog: Catalog) -> None:
    """The day of a row is the local day of its event, unless the row says another."""
    lines = [
        {"id": 1, "person": 1, "sold_at": "2017-05-31 22:30+00:00", "price": 2.5},
        {"id": 2, "person": 1, "sold_at": "2017-06-01 09:00", "price": 1.5},
    ]
    (row,) = mapped("person_days", {"sales": lines}, catalog=catalog)
    assert (row["day"], row["spend"]) == (date(2017, 6, 1), 4.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"person_days": [{"persom": 1, "day": "2017-05-31"}]},
            "person_days has no column persom.*Its columns are day",
        ),
        ({"persons": []}, "persons is not read here.*Read are person_days, towns"),
        ({"person_days": [{"person": "x", "day": "2017-05-31"}]}, "a value of person is no int64"),
        ({"person_days": [{"person": 1}]}, "a row has no day"),
        ({"person_days": [{"person": 1, "last_sold_at": "noon"}]}, "last_sold_at is 'noon', which is no timestamp"),
    ],
)
def test_rows_that_do_not_fit_are_reported(
    catalog: Catalog, rows: dict[str, list[dict[str, object]]], message: str
) -> None:
    """What is misspelt in a test is an error of the test, and names the fix."""
    with pytest.raises(InputError, match=message):
        features("buys_again", rows, as_of="2017-05-31", catalog=catalog)


def test_unknown_names_are_reported(catalog: Catalog) -> None:
    """A wrong day, a wrong table: with what there is."""
    with pytest.raises(InputError, match=r"no mapped table 'sales'.*person_days, towns"):
        mapped("sales", {}, catalog=catalog)
    with pytest.raises(InputError, match="which is no day"):
        features("buys_again", {}, as_of="yesterday", catalog=catalog)


def test_the_generic_checks_pass_on_sound_sql(catalog: Catalog) -> None:
    """Each mapped table and use case has its checks, and they pass on SQL that keeps the rules."""
    checks = {str(check): check for check in generic_checks(catalog)}
    assert sorted(checks) == [
        "buys_again:entity_key",
        "buys_again:point_in_time",
        "buys_again:same_twice",
        "person_days:range_is_its_days",
        "person_days:same_in_any_order",
        "person_days:table_key",
        "towns:same_in_any_order",
        "towns:table_key",
    ]
    for check in checks.values():
        check()


@pytest.mark.parametrize(
    ("file", "text", "fails"),
    [
        (DAYS, "SELECT person, day, sold_at AS last_sold_at, price AS spend FROM sales", "person_days:table_key"),
        (
            DAYS,
            "SELECT person, day, max(sold_at) AS last_sold_at, sum(price) + count(*) OVER () AS spend FROM sales "
            "GROUP BY person, day",
            "person_days:range_is_its_days",
        ),
        (
            FEATURES,
            "SELECT person, count(*) AS days, any_value(town) AS town FROM person_days LEFT JOIN towns USING (person) "
            "WHERE last_sold_at < $as_of GROUP BY person, spend",
            "buys_again:entity_key",
        ),
    ],
)
def test_the_generic_checks_find_what_is_wrong(tmp_path: Path, file: str, text: str, fails: str) -> None:
    """A key that is not unique, a table that depends on the other days of its run: the check that says so fails."""
    catalog = load_catalog(write_catalog(tmp_path, {file: text}))
    (check,) = (each for each in generic_checks(catalog) if str(each) == fails)
    with pytest.raises(AssertionError, match=fails.split(":")[0]):
        check()
