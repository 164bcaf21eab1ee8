"""A landing zone for tests, a lake to take it into, and a source whose contract has one rule of each kind.

Run as a program, `python -m tests.unit.engines.landings <folder>`, it takes in what has landed: for tests that kill it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from serving_assets.catalog.columns import AtLeast, Between, Column, optional, required
from serving_assets.catalog.spec import Format, Source
from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Engine, Input, Limits, Query
from serving_assets.lake import DayRange, Lake
from serving_assets.landing.ingest import Landed, ingest
from serving_assets.landing.storage import open_storage
from serving_assets.landing.zone import LandingZone

MONDAY, TUESDAY = date(2017, 3, 6), date(2017, 3, 7)
SALES = Source(
    name="sales",
    description="Lines of a till",
    owners=("team:tests",),
    delivery="daily",
    columns={
        "id": required("int64", "Line", AtLeast(1)),
        "sold_at": required("timestamp", "When"),
        "quantity": required("int64", "Pieces", Between(0, 1_234_567)),
        "price": optional("float64", "Money", AtLeast(0)),
        "note": optional("string", "Free text"),
    },
    key=("id",),
    event_time="sold_at",
)
GOOD: Mapping[str, Any] = {"id": 1, "sold_at": "2017-03-06 12:00:00", "quantity": 2, "price": 1.5, "note": "n"}
FORMATS: tuple[Format, ...] = ("parquet", "csv", "ndjson")


def sales(**changes: Any) -> Source:
    """The source with other fields."""
    return SALES.model_copy(update=changes)


def one_column(column: Column) -> Source:
    """A snapshot of `id` and one `value`."""
    columns = {"id": required("int64", "Key"), "value": column}
    return Source(**{**dict(sales()), "delivery": "snapshot", "event_time": None, "columns": columns})


def encoded(rows: Sequence[Mapping[str, Any]], form: Format, columns: Sequence[str] | None = None) -> bytes:
    """The bytes of one file; for Parquet with the types that pyarrow infers, an empty list with strings."""
    names = list(columns or dict.fromkeys(name for row in rows for name in row))
    if form == "parquet":
        table = pa.table({name: _array([row.get(name) for row in rows]) for name in names})
        sink = io.BytesIO()
        pq.write_table(table if rows else table.cast(pa.schema([(n, pa.string()) for n in names])), sink)
        return sink.getvalue()
    if form == "ndjson":
        return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.writer(text)  # ends lines by \r\n, and so quotes a text that holds one of the two
    writer.writerows([names, *([row.get(name) for name in names] for row in rows)])
    return text.getvalue().encode()


def _array(values: list[Any]) -> pa.Array:
    """As pyarrow would store them; where types are mixed, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


@lru_cache(maxsize=4)
def _engine(root: Path) -> Engine:
    return open_engine("duckdb", Limits(threads=2, memory="200MB", scratch=root / "scratch", batch_rows=1_000))


@dataclass(frozen=True)
class Zone:
    """A folder with `landing/` and `lake/`, and the source that lands there."""

    root: Path
    source: Source = SALES
    timezone: str = "UTC"

    @property
    def landing(self) -> Path:
        """Where files are dropped."""
        return self.root / "landing"

    @property
    def zone(self) -> LandingZone:
        """The same as ingest sees it."""
        return LandingZone(open_storage(str(self.landing)), self.root / "fetched")

    @property
    def lake(self) -> Lake:
        """Where rows go."""
        return Lake(str(self.root / "lake"))

    @property
    def engine(self) -> Engine:
        """An engine with little memory."""
        return _engine(self.root)

    def of(self, **changes: Any) -> Zone:
        """The same zone with a source that has other fields."""
        return replace(self, source=self.source.model_copy(update=changes))

    def folder(self, day: date = MONDAY) -> Path:
        """Where the files of a day, or of the snapshot, are dropped."""
        base = self.landing / self.source.name
        return base / f"dt={day}" if self.source.delivery == "daily" else base

    def drop(self, content: bytes | Sequence[Mapping[str, Any]], name: str = "", day: date = MONDAY) -> Path:
        """Drop rows, or bytes as they are, as one file; compressed when the name says so."""
        path = self.folder(day) / (name or f"part.{self.source.format}")
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else encoded(content, self.source.format)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and not isinstance(content, bytes) else data)
        return path

    def ingest(self, first: date = MONDAY, last: date | None = None) -> Landed:
        """Take in the days from `first` to `last`, or the snapshot."""
        days = DayRange(first, last or first) if self.source.delivery == "daily" else None
        return ingest(self.source, self.zone, days, self.lake, self.engine, self.timezone)

    def rows(self, suffix: str = "", columns: str = "*") -> list[dict[str, Any]]:
        """Rows of the accepted table, or with `__rejected` of the other, in a fixed order."""
        scan = self.lake.table(f"raw/{self.source.name}{suffix}").scan()
        return self.engine.collect(Query(f"SELECT {columns} FROM t ORDER BY ALL", {"t": Input(scan)})).to_pylist()

    def accepted(self) -> list[dict[str, Any]]:
        """Accepted rows without the platform's columns."""
        return self.rows(columns=", ".join(self.source.columns))

    def rejected(self) -> list[tuple[str, dict[str, Any]]]:
        """Reason and original of every rejected row."""
        return [(row["reason"], json.loads(row["row"])) for row in self.rows("__rejected")]

    def versions(self) -> tuple[int | None, int | None]:
        """Versions of the accepted and the rejected table."""
        table = self.lake.table
        return table(f"raw/{self.source.name}").version(), table(f"raw/{self.source.name}__rejected").version()


if __name__ == "__main__":
    Zone(Path(sys.argv[1])).ingest()
