"""Which catalog the tests declare. Not here: the smallest one, as text (unit/catalog/small_catalog.py)."""

from __future__ import annotations

from pathlib import Path

FIXTURE_CATALOG = Path(__file__).resolve().parent / "fixture_catalog"
"""A catalog over real data that belongs to the tests: a team may replace the shipped one, and its own tests with it
(shipped_catalog/)."""
