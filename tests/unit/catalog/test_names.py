"""Derived names: each is made in one place, so that whoever writes a table or collection and whoever reads it agree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving_assets
from serving_assets.catalog import names
from serving_assets.catalog.discovery import load_catalog
from tests.catalogs import FIXTURE_CATALOG

SOURCE = Path(serving_assets.__file__).parent
HOME = Path(names.__file__)


def parts_of_strings() -> Iterator[tuple[Path, int, str]]:
    """Every piece of text of the code that is no docstring, those between the braces of f-strings included."""
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                yield path, node.lineno, node.value


@pytest.mark.parametrize("suffix", [".features", "__rejected", "feature_publications"])
def test_a_derived_name_is_made_in_one_place(suffix: str) -> None:
    """What ends a derived name stands in catalog/names.py alone."""
    found = {path for path, _, text in parts_of_strings() if text.endswith(suffix)}
    assert found == {HOME}


def test_names_keep_what_is_stored() -> None:
    """Tables and collections that exist are found under the names that they have."""
    catalog = load_catalog(FIXTURE_CATALOG)
    bound = catalog.use_case("purchase_propensity")
    assert bound.features_collection == "purchase_propensity.features"
    assert bound.predictions_collection == "purchase_propensity"
    assert bound.lake_name("latest") == "purchase_propensity/latest"
    raw = catalog.tables["transactions"]
    assert (raw.lake_name, raw.quarantine) == ("raw/transactions", "raw/transactions__rejected")
    assert names.quarantined_table(raw.quarantine) == raw.lake_name
    assert names.quarantined_table(raw.lake_name) is None
    assert names.use_case_of_features("a.features") == "a"
    assert names.use_case_of_features("a") is None
    assert [
        names.collection_of_activations(f"a/{table}") for table in ("publications", "feature_publications", "x")
    ] == [
        "a",
        "a.features",
        None,
    ]
    assert names.activations_table("a") == "a/publications"
    assert names.feature_activations_table("a") == "a/feature_publications"
