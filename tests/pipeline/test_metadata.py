"""What every materialization tells is there, and right.

Not here: how long anything took; only that it was measured.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date

import dagster as dg
import pytest

from serving_assets.lake import DayRange
from tests.pipeline.slice import DAY, DAYS, NAME, Bench

MEASURED = ("seconds", "cpu_seconds", "peak_memory_mib")
DAILY_TABLES = ("raw/transactions", "raw/coupon_redemptions", "mapped/baskets", "mapped/household_days")
SOME_DAYS = (DAYS.first, date(2017, 4, 10), date(2017, 4, 11), DAYS.last)
"""First and last of the slice, and both sides of where one chunk ends and the next begins."""


def told(bench: Bench, asset: str, day: date | None = None) -> Mapping[str, dg.MetadataValue]:
    """The metadata of the newest materialization of an asset, or of one of its days."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset.split("/")), asset_partitions=[str(day)] if day else None)
    (record,) = bench.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return record.asset_materialization.metadata


@pytest.mark.parametrize("day", SOME_DAYS, ids=str)
@pytest.mark.parametrize("table", DAILY_TABLES)
def test_each_day_of_a_range_tells_its_own_rows_and_bytes(built: Bench, table: str, day: date) -> None:
    """A day that was made in a run of a hundred tells its own rows and bytes, as they are in the table."""
    metadata, scan = told(built, table, day), built.platform.lake.table(table).scan({"day": day})
    assert metadata["rows"].value == metadata["dagster/partition_row_count"].value == scan.rows()
    assert metadata["rows"].value == len(built.table_rows(table, "day", f"day = DATE '{day}'"))
    assert metadata["bytes"].value == sum(file.bytes for file in scan.files())
    assert all(metadata[name].value > 0 for name in MEASURED)


@pytest.mark.parametrize("stage", ["features", "predictions"])
def test_a_scored_day_tells_its_rows(built: Bench, stage: str) -> None:
    """Features and predictions tell the rows and bytes of their partition."""
    metadata = told(built, f"{NAME}/{stage}", DAY)
    scan = built.platform.lake.table(f"{NAME}/{stage}").scan({"day": DAY})
    assert metadata["rows"].value == metadata["dagster/partition_row_count"].value == scan.rows()
    assert metadata["bytes"].value == sum(file.bytes for file in scan.files())
    assert all(metadata[name].value > 0 for name in MEASURED)


@pytest.mark.parametrize("table", ["raw/products", "mapped/households", f"{NAME}/training_set", f"{NAME}/latest"])
def test_an_unpartitioned_table_tells_all_its_rows(built: Bench, table: str) -> None:
    """A table without partitions tells the rows of the whole table."""
    metadata, rows = told(built, table), built.platform.lake.table(table).scan().rows()
    assert metadata["rows"].value == metadata["dagster/row_count"].value == rows
    assert "dagster/partition_row_count" not in metadata
    assert all(metadata[name].value > 0 for name in MEASURED)


def test_a_run_over_a_range_tells_the_sum(bench: Bench) -> None:
    """The outcome of a run over days has the rows of all of them."""
    days = DayRange(date(2017, 5, 28), DAYS.last)
    (outcome,) = bench.tables(days)
    made = {one.asset: one for one in outcome.made}
    for table in ("raw/transactions", "mapped/baskets"):
        assert made[table].numbers["rows"] == bench.platform.lake.table(table).scan({"day": days}).rows()
        assert made[table].partition is None


def picture(value: dg.MetadataValue) -> bytes:
    """The PNG that a metadata value shows."""
    assert isinstance(value, dg.MarkdownMetadataValue)
    assert value.md_str is not None
    return base64.b64decode(value.md_str.partition("base64,")[2].rstrip(")"))


@pytest.mark.parametrize(
    ("asset", "name"),
    [(f"{NAME}/predictions", "score_histogram"), (f"{NAME}/model", "calibration"), (f"{NAME}/model", "roc")],
)
def test_pictures_are_pictures(built: Bench, asset: str, name: str) -> None:
    """Each picture is a whole PNG of more than a few colours' worth of bytes."""
    png = picture(told(built, asset)[name])
    assert png.startswith(b"\x89PNG\r\n")
    assert png.rstrip(b"\0").endswith(b"IEND\xaeB`\x82")
    assert len(png) > 5_000


def test_the_model_tells_what_the_registry_knows(built: Bench) -> None:
    """Metrics in the UI are those of the registered version, each gain over a baseline inside its interval."""
    metadata = told(built, f"{NAME}/model")
    version = str(metadata["model_version"].value)
    metrics = built.platform.registry.metrics(NAME, version)
    assert metrics
    assert {name: metadata[name].value for name in metrics} == pytest.approx(metrics)
    for baseline in ("recency", "frequency"):
        gain, low, high = (metadata[f"auc_gain_over_{baseline}{end}"].value for end in ("", "_low", "_high"))
        assert low < gain < high
        assert gain == pytest.approx(metadata["auc"].value - metadata[f"auc_{baseline}"].value)
    training_set = told(built, f"{NAME}/training_set")
    rows = metadata["train_rows"].value + metadata["holdout_rows"].value
    assert 0 < rows <= training_set["rows"].value


def test_the_champion_tells_why(built: Bench) -> None:
    """The champion asset names the version and every condition of the gate, passed or not."""
    metadata = told(built, f"{NAME}/champion")
    assert metadata["champion"].value == metadata["candidate"].value == "1"
    reasons = metadata["reasons"]
    assert isinstance(reasons, dg.TableMetadataValue)
    assert {"passed", "name", "measured", "threshold"} == set(reasons.records[0].data)
    assert all(record.data["passed"] for record in reasons.records)


def test_lineage_is_told_with_each_materialization(built: Bench) -> None:
    """What the UI draws between columns is in the newest materialization of every table made by SQL."""
    graph = built.defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        declared = graph.get(key).metadata.get("dagster/column_lineage")
        if declared is not None and key.path[0] in ("mapped", NAME):
            assert told(built, key.to_user_string())["dagster/column_lineage"].value == declared, key


def test_the_publication_tells_what_was_written(built: Bench) -> None:
    """The first publication changed every document, and tells the generation and its digest."""
    metadata = told(built, f"{NAME}/online")
    control = built.platform.store.control(NAME)
    assert control is not None
    assert control.published is not None
    published = control.published
    assert metadata["changed"].value == metadata["rows"].value == published.rows == len(built.documents())
    assert metadata["digest"].value == f"{published.digest:016x}"
    assert (metadata["generation"].value, metadata["removed"].value) == (published.number, 0)
