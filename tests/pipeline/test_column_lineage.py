"""Where a column comes from is shown by the UI, in its description, and by the command `lineage`.

Not here: whether the lineage is right (tests/unit/catalog/), or complete (test_definitions.py).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from serving_assets.cli import app
from serving_assets.errors import InputError
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.observing.column_lineage import origins
from serving_assets.settings import Settings, get_settings
from tests.catalogs import FIXTURE_CATALOG

FEATURES, COLUMN = "purchase_propensity/features", "spend_28d"


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The definitions of the fixture catalog."""
    return build_defs(Settings(data_dir=tmp_path_factory.mktemp("lineage"), catalog_dir=FIXTURE_CATALOG))


def test_a_description_names_the_origins_of_its_column(defs: dg.Definitions) -> None:
    """In the schema of every table, each column with a lineage says where it comes from."""
    graph = defs.resolve_asset_graph()
    described = 0
    for key in graph.get_all_asset_keys():
        lineage, schema = (graph.get(key).metadata.get(f"dagster/column_{what}") for what in ("lineage", "schema"))
        if lineage is None or schema is None:
            continue
        for column in schema.columns:
            for origin in lineage.deps_by_column.get(column.name, ()):
                assert f"{origin.asset_key.to_user_string()}.{origin.column_name}" in column.description, (key, column)
                described += 1
    assert described > 100


def test_origins_are_followed_to_the_landed_files(defs: dg.Definitions) -> None:
    """A feature leads through the mapped tables to the columns of the raw ones."""
    (found,) = origins(defs, FEATURES, COLUMN)
    layers = {origin.asset.partition("/")[0] for origin in found.comes_from}
    landed = {leaf.asset for middle in found.comes_from for baskets in middle.comes_from for leaf in baskets.comes_from}
    assert (layers, landed) == ({"mapped"}, {"raw/transactions"})


def test_unknown_names_are_refused_with_the_known_ones(defs: dg.Definitions) -> None:
    """The error of an unknown table or column lists those that exist."""
    with pytest.raises(InputError) as no_table:
        origins(defs, "raw/nothing")
    assert "raw/transactions" in str(no_table.value.hint)
    with pytest.raises(InputError) as no_column:
        origins(defs, FEATURES, "nothing")
    assert COLUMN in str(no_column.value.hint)


def test_the_command_prints_each_origin_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins stand below their column, further to the right; what was shown is not repeated."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CATALOG_DIR", str(FIXTURE_CATALOG))
    get_settings.cache_clear()
    found = CliRunner().invoke(app, ["lineage", f"{FEATURES}.{COLUMN}"])
    lines = found.output.splitlines()
    assert lines[0] == f"{FEATURES}.{COLUMN}"
    assert "      raw/transactions.sales_value" in lines
    score = CliRunner().invoke(app, ["lineage", "purchase_propensity/predictions.score"]).output.splitlines()
    get_settings.cache_clear()
    expanded = [line.strip() for line in score if not line.endswith("(see above)") and "mapped/" in line]
    assert len(expanded) == len(set(expanded)) > 5
