"""Rules of the first day: each domain has its own, also beside others of its zone, and the demo moves only its own.

Not here: days that are missing inside a history (test_gaps.py, test_gates.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.local_runner.backfill_steps import refuse_days_without_partition
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings, get_settings, remember_first_day
from tests.pipeline.tiny import NAME, Tiny

EARLY, LATE = date(2020, 1, 1), date(2024, 3, 1)


def platform(root: Path, **settings: object) -> Platform:
    """Two domains of one time zone, `shop` from LATE on and `market` from EARLY on, each with a use case."""
    catalog = Tiny(first_day=LATE).write(root / "catalog")
    for source, copy in ((f"use_cases/{NAME}", "use_cases/other"), ("domains/shop", "domains/market")):
        (catalog / copy).mkdir()
        for file in (catalog / source).iterdir():
            text = file.read_text().replace("visits", "sales").replace(NAME.replace("visits", "sales"), "other")
            text = text.replace('"shop"', '"market"').replace("date(2024, 3, 1)", "date(2020, 1, 1)")
            (catalog / copy / file.name).write_text(text)
    return Platform(Settings(data_dir=root / "data", **settings), load_catalog(catalog))  # type: ignore[arg-type]


def test_domains_of_one_zone_have_their_own_first_days(tmp_path: Path) -> None:
    """They share the partitions, which begin with the earlier one; each use case begins with its own domain."""
    found = platform(tmp_path)
    assert found.partitions("UTC").start.date() == EARLY
    assert {name: found.first_day_of(bound) for name, bound in found.catalog.use_cases.items()} == {
        NAME: LATE,
        "other": EARLY,
    }


@pytest.mark.parametrize(
    ("settings", "first", "told"),
    [
        ({}, LATE, r"declared in .*domains/shop/domain\.py"),
        ({"first_days": {"shop": date(2024, 2, 1)}}, date(2024, 2, 1), r"set by FIRST_DAYS in .*settings\.env"),
        ({"first_days": {"market": date(2019, 1, 1)}}, LATE, r"declared in .*domains/shop/domain\.py"),
        ({"first_day": date(2023, 1, 1)}, date(2023, 1, 1), r"set by FIRST_DAY in .*settings\.env"),
    ],
)
def test_a_day_before_the_first_names_what_sets_it(
    tmp_path: Path, settings: dict[str, object], first: date, told: str
) -> None:
    """The refusal of a day says where the first day is set: a domain's file, or a setting and its file."""
    found = platform(tmp_path, **settings)
    use_case = found.catalog.use_cases[NAME]
    assert found.first_day_of(use_case) == first
    refuse_days_without_partition(found, use_case, DayRange(first, first))
    before = first.replace(year=first.year - 1)
    with pytest.raises(InputError, match=rf"{NAME} has days from {first} \({told}\) to 20"):
        refuse_days_without_partition(found, use_case, DayRange(before, first))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The settings file of a workspace of its own."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("FIRST_DAY", raising=False)
    get_settings.cache_clear()
    yield tmp_path / "settings.env"
    get_settings.cache_clear()


def test_a_remembered_first_day_is_of_its_domain_alone(workspace: Path) -> None:
    """What the demo remembers moves its own domain; what an earlier version wrote for all is taken back."""
    workspace.write_text("FIRST_DAY=2024-03-01\nBATCH_ROWS=10\n")
    assert get_settings().first_day == LATE
    remember_first_day("shop", LATE)
    remember_first_day("market", EARLY)
    found = get_settings()
    assert (found.first_day, found.first_days, found.batch_rows) == (None, {"shop": LATE, "market": EARLY}, 10)
    workspace.write_text("FIRST_DAY=2001-01-01\n")
    get_settings.cache_clear()
    remember_first_day("shop", LATE)
    assert get_settings().first_day == date(2001, 1, 1), "what a person has set stays"
