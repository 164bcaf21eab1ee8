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
from serving_assets.settings import get_settings
from tests.pipeline.generations import published
from tests.pipeline.slice import NAME, Bench


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_export_holds_what_readers_get(bench: Bench, tmp_path: Path, form: str) -> None:
    """Keys and values are those of the active generation, also after a rollback, and a file of the name is replaced."""
    g = published(bench, 1)
    g.roll_back()
    out = tmp_path / f"predictions.{form}"
    out.write_text("an older file")
    done = export(bench.platform, bench.use_case, "csv" if form == "csv" else "parquet", out)
    table = csv.read_csv(out) if form == "csv" else pq.read_table(out)
    found = {row["household_id"]: row["score"] for row in table.to_pylist()}
    assert found == {entity: json.loads(text)["v"]["score"] for entity, text in bench.documents().items()}
    assert (done.generation, done.rows) == (1, len(found))
    assert table.column("household_id").to_pylist() == sorted(found)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


def test_an_export_that_cannot_be_written_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    """A folder that is not there is an error that names the file."""
    with pytest.raises(InputError, match=r"missing/x\.csv cannot be written"):
        export(bench.platform, bench.use_case, "csv", tmp_path / "missing" / "x.csv")


def test_rows_reads_and_writes_nothing_else(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL that would write or read a file is refused before it runs; one SELECT over the table answers."""
    monkeypatch.setenv("DATA_DIR", str(bench.settings.data_dir))
    get_settings.cache_clear()
    stolen = tmp_path / "stolen.csv"
    with pytest.raises(InputError, match="not one SELECT"):
        ask(f"{NAME}/latest", None, f"COPY t TO '{stolen}'")
    with pytest.raises(InputError, match="read_text"):
        ask(f"{NAME}/latest", None, "SELECT * FROM read_text('/etc/passwd')")
    assert not stolen.exists()
    assert ask(f"{NAME}/latest", None, "SELECT count(*) AS n FROM t") == [{"n": len(bench.documents())}]
    get_settings.cache_clear()
