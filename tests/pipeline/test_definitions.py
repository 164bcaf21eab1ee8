"""What the project defines: seen in review, whole, and cheap to load.

Not here: how fast it loads (benchmarks/definitions.py measures that).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.pipeline.definitions import build_defs
from serving_assets.settings import Settings
from tests.pipeline.outline import outline

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.txt")
RENEW = "RENEW_SNAPSHOT"
HEAVY = ("mlflow", "sklearn", "pyspark", "pandas", "onnxruntime", "skl2onnx", "matplotlib")
NOT_TABLES = {"model", "champion", "online"}
SERVED = {"online", "online_features"}


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The shipped definitions."""
    return build_defs(Settings(data_dir=tmp_path_factory.mktemp("data")))


def test_a_change_of_the_definitions_is_seen_in_review(defs: dg.Definitions) -> None:
    """What is defined is what the snapshot says; RENEW_SNAPSHOT=1 writes it anew."""
    found = outline(defs)
    if os.environ.get(RENEW):
        SNAPSHOT.write_text(found, encoding="utf-8")
    assert found == SNAPSHOT.read_text(encoding="utf-8"), f"if the change is meant: {RENEW}=1 pytest {__file__}"


def test_every_asset_tells_what_it_is(defs: dg.Definitions) -> None:
    """Every asset has owners, kinds, a description, and references to files that exist."""
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.kinds, key
        assert len(node.description or "") > 20, key
        references = node.metadata["dagster/code_references"].code_references
        assert references, key
        assert all(Path(reference.file_path).is_file() for reference in references), key


def test_a_lane_of_the_graph_is_a_model_or_a_domain(defs: dg.Definitions) -> None:
    """All stages of a use case are one group, named after it; so are the raw and mapped tables of a domain."""
    catalog = load_catalog(Settings().catalog_dir)
    domains = {(table.layer, table.name): table.domain.name for table in catalog.tables.values()}
    graph = defs.resolve_asset_graph()
    groups = {key: graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert groups == {key: domains.get((key.path[0], key.path[1]), key.path[0]) for key in groups}
    assert set(groups.values()) == {*catalog.use_cases, *catalog.domains}


def test_every_table_tells_its_columns_and_where_they_come_from(defs: dg.Definitions) -> None:
    """Every table has a column schema; every one made by SQL a lineage to columns that exist."""
    graph = defs.resolve_asset_graph()
    tables = [key for key in graph.get_all_asset_keys() if key.path[-1] not in NOT_TABLES | SERVED]
    schemas = {key: {c.name for c in graph.get(key).metadata["dagster/column_schema"].columns} for key in tables}
    for key in tables:
        if key.path[0] == "raw":
            continue
        lineage = graph.get(key).metadata["dagster/column_lineage"].deps_by_column
        assert lineage, key
        assert lineage.keys() <= schemas[key] | {"day"}, key
        for column, origins in lineage.items():
            assert {origin.asset_key for origin in origins} <= graph.get(key).parent_keys, (key, column)
            assert all(origin.column_name in schemas[origin.asset_key] | {"day"} for origin in origins), (key, column)


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    """Loading the definitions in a fresh process imports nothing that costs seconds, and writes nothing."""
    program = (
        "import sys; from serving_assets.definitions import defs; "
        "assert list(defs().get_repository_def().asset_graph.get_all_asset_keys()); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "data").exists()
