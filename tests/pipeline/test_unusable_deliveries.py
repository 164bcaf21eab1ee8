"""Rules of landing where a file cannot be used: the error names it with the fix, and nothing is written.

Not here: files that can be used but for some rows (test_landing.py).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from serving_assets.catalog.spec import Format
from serving_assets.errors import InputError
from tests.unit.engines.landings import FORMATS, GOOD, Zone, encoded, sales

BEFORE = [{**GOOD, "note": "before"}, {**GOOD, "id": 2, "quantity": -1}]
MANY = [{**GOOD, "id": number} for number in range(1, 1_001)]


def rotten_page() -> bytes:
    """A Parquet file whose footer is whole and whose data is not."""
    content = bytearray(encoded(MANY, "parquet"))
    content[100:4_000] = b"\xff" * 3_900
    return bytes(content)


def without(column: str) -> list[dict[str, Any]]:
    """A good row that lacks a column."""
    return [{name: value for name, value in GOOD.items() if name != column}]


def renamed(old: str, new: str) -> list[dict[str, Any]]:
    """A good row in which a column has another name."""
    return [{new if name == old else name: value for name, value in GOOD.items()}]


UNUSABLE: list[tuple[Format, str, Any, str]] = [
    ("parquet", "truncated", encoded(MANY, "parquet")[:-30], r"cannot be read as parquet: .*part\.parquet"),
    ("parquet", "a rotten page", rotten_page(), r"cannot be read as parquet: .*part\.parquet"),
    ("parquet", "no parquet at all", b"<html>Bad gateway</html>", r"cannot be read as parquet: .*part\.parquet"),
    ("parquet", "0 bytes", b"", r"cannot be read as parquet: .*part\.parquet.* too small"),
    ("csv", "truncated", encoded(MANY, "csv")[:-12], r"cannot be read as csv: .*Line: 1001 .*part\.csv"),
    ("csv", "a quote left open", encoded([GOOD], "csv") + b'2,"', r"cannot be read as csv: .*quote.*part\.csv"),
    ("csv", "other separators", b"id;sold_at;quantity;price;note\n", r"lacks the column id, .* renamed\?"),
    ("csv", "no UTF-8", encoded([{**GOOD, "note": "ü"}], "csv").decode().encode("latin-1"), r"not utf-8.*part\.csv"),
    ("csv", "a header that is no UTF-8", b"id,gr\xf6sse\n", r"cannot be read as csv: .*utf-8"),
    ("csv", "a column twice", b"id,sold_at,quantity,price,note,NOTE\n", r"NOTE, note have the same name"),
    ("ndjson", "truncated", encoded(MANY, "ndjson")[:-9], r"cannot be read as ndjson: .*part\.ndjson.*line 100"),
    ("ndjson", "a list", b"[1, 2]\n" + encoded([GOOD], "ndjson"), r"cannot be read as ndjson: .*Expected OBJECT"),
    ("ndjson", "keys that differ by case", b'{"id": 1, "ID": 2}\n', r"ID, id have the same name"),
    *((form, "a missing column", without("quantity"), r"lacks the column quantity\.") for form in FORMATS),
    *((form, "a renamed column", renamed("quantity", "qty"), r"lacks .* It has qty, .*renamed\?") for form in FORMATS),
    *((form, "another case", renamed("quantity", "Quantity"), r"lacks .* It has Quantity, .*") for form in FORMATS),
    *((form, "0 rows", encoded([], form, list(GOOD)), r"the landed files hold no row") for form in FORMATS),
    ("csv", "0 bytes", b"", r"the landed files hold no row"),
]


@pytest.mark.parametrize(
    ("form", "content", "told"), [pytest.param(f, c, t, id=f"{f}, {name}") for f, name, c, t in UNUSABLE]
)
def test_an_unusable_delivery_changes_nothing(tmp_path: Path, form: Format, content: Any, told: str) -> None:
    """An unusable file is told with its name and the fix; accepted and rejected rows stay as they were."""
    zone = Zone(tmp_path, sales(format=form))
    zone.drop(BEFORE)
    zone.ingest()
    kept, versions = (zone.rows(), zone.rows("__rejected")), zone.versions()
    zone.drop(content)
    with pytest.raises(InputError, match=rf"(?s)^raw/sales: {'.*' + told}.*keeps its previous content.*(Ask|declare)"):
        zone.ingest()
    assert (zone.rows(), zone.rows("__rejected")) == kept
    assert zone.versions() == versions


@pytest.mark.parametrize("suffix", [".csv.gz", ".ndjson.gz"])
def test_a_truncated_archive_is_unreadable(tmp_path: Path, suffix: str) -> None:
    """A compressed file that ends too early is refused, not read as far as it goes."""
    form: Format = "csv" if "csv" in suffix else "ndjson"
    zone = Zone(tmp_path, sales(format=form))
    path = zone.drop(gzip.compress(encoded(MANY, form))[:-20], f"part{suffix}")
    with pytest.raises(InputError, match=f"cannot be read as {form}"):
        zone.ingest()
    assert path.exists()
    assert zone.versions() == (None, None)
