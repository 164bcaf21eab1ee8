"""The shipped catalog under the checks that fit any catalog."""

from __future__ import annotations

import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.settings import PROJECT
from serving_assets.testing import GenericCheck, features, generic_checks

CATALOG = load_catalog(PROJECT / "serving_assets" / "catalog")
DEMOGRAPHICS = [
    {
        "household_id": n,
        "age": "35-44",
        "income": "50-74K",
        "household_size": "2",
        "household_comp": "2 Adults No Kids",
        "kids_count": "0",
    }
    for n in range(1, 5)
]


@pytest.mark.parametrize("check", generic_checks(CATALOG, {"demographics": DEMOGRAPHICS}), ids=str)
def test_every_table_and_use_case(check: GenericCheck) -> None:
    """What must hold of any mapped table and any features holds of the shipped ones."""
    check()


def test_the_example_of_the_page() -> None:
    """A basket of the day itself is among the features of its end."""
    rows = {"baskets": [{"basket_id": 1, "household_id": 733, "purchased_at": "2017-05-31 18:00", "spend": 12.5}]}
    (row,) = features("basket_propensity", rows, as_of="2017-05-31", catalog=CATALOG)
    assert row["basket_value"] == 12.5
