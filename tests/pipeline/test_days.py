"""The end of a day is the same instant in Python, in SQL, and in what is published."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Limits, Query, Rows
from serving_assets.pipeline.days import as_of, as_of_sql
from serving_assets.pipeline.publishing.published_documents import ISO, Stamp

DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(1_100)]


@pytest.mark.parametrize(
    "zone", ["Atlantic/Azores", "Africa/Cairo", "America/Havana", "Asia/Beirut", "Europe/Berlin", "Asia/Kolkata"]
)
def test_sql_and_python_agree_on_every_day(tmp_path: Path, zone: str) -> None:
    """The instant in a document is the one of its generation, whatever the clocks do at midnight; and it leads back."""
    engine = open_engine("duckdb", Limits(threads=1, memory="100MB", scratch=tmp_path, batch_rows=1_000))
    days = Rows(pa.table({"day": pa.array(DAYS, pa.date32())}))
    sql = f"SELECT strftime({as_of_sql('day', zone, DAYS[-1])}, '{ISO}') AS ends FROM t ORDER BY day"
    found = engine.collect(Query(sql, {"t": days}, timezone=zone)).column("ends").to_pylist()
    assert found == [as_of(day, zone).strftime(ISO) for day in DAYS]
    assert found == [Stamp(day, "1").as_of(zone) for day in DAYS]
    assert [Stamp.of(text, "1", zone).day for text in found] == DAYS
