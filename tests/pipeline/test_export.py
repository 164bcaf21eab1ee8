"""Rules of the export: exactly what readers get, in a file that appears whole, and no file by any other way."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from serving_assets.commands.look import ask
from serving_assets.errors import InputError
from serving_assets.pipeline.publishing.export import export
from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back
from serving_assets.settings import get_settings
from tests.pipeline.small_shop import NAME, SmallShop


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    """A use case with three published predictions."""
    return SmallShop.made(tmp_path / "shop")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_export_holds_what_readers_get(shop: SmallShop, tmp_path: Path, form: str) -> None:
    """Keys and values are those of the active generation, also after a rollback, and a file of the name is replaced."""
    shop.publish({1: 0.123456, 9: 0.75})
    roll_back(shop.platform, shop.collection, RollbackRequest("somebody"), shop.runs)
    out = tmp_path / f"predictions.{form}"
    out.write_text("an older file")
    done = export(shop.platform, shop.use_case, "csv" if form == "csv" else "parquet", out)
    table = csv.read_csv(out) if form == "csv" else pq.read_table(out)
    found = {row["person"]: row["score"] for row in table.to_pylist()}
    assert found == {entity: json.loads(text)["v"]["score"] for entity, text in shop.documents().items()}
    assert (done.generation, done.rows) == (1, len(found))
    assert table.column("person").to_pylist() == sorted(found)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


def test_an_export_that_cannot_be_written_leaves_nothing(shop: SmallShop, tmp_path: Path) -> None:
    """A folder that is not there is an error that names the file."""
    with pytest.raises(InputError, match=r"missing/x\.csv cannot be written"):
        export(shop.platform, shop.use_case, "csv", tmp_path / "missing" / "x.csv")


def test_rows_reads_and_writes_nothing_else(shop: SmallShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL that would write or read a file is refused before it runs; one SELECT over the table answers."""
    monkeypatch.setenv("DATA_DIR", str(shop.settings.data_dir))
    monkeypatch.setenv("CATALOG_DIR", str(shop.catalog.root))
    get_settings.cache_clear()
    stolen = tmp_path / "stolen.csv"
    with pytest.raises(InputError, match="not one SELECT"):
        ask(f"{NAME}/latest", None, f"COPY t TO '{stolen}'")
    with pytest.raises(InputError, match="read_text"):
        ask(f"{NAME}/latest", None, "SELECT * FROM read_text('/etc/passwd')")
    assert not stolen.exists()
    assert ask(f"{NAME}/latest", None, "SELECT count(*) AS n FROM t") == [{"n": len(shop.documents())}]
    get_settings.cache_clear()
