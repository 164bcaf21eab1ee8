"""Volume: as many rows as expected from previous days.

Here: counting them, from the lake's log, without reading data. Not here: what is expected (monitoring/volume.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg

from serving_assets.catalog.checks import TableChecks
from serving_assets.catalog.discovery import Catalog, Table
from serving_assets.catalog.spec import DAY, Source
from serving_assets.lake import DayRange, LakeTable
from serving_assets.monitoring.severity import ORDER
from serving_assets.monitoring.volume import (
    FEWEST_DAYS,
    FEWEST_ROWS,
    FEWEST_TIMES,
    Volume,
    judge_volume,
    volume_among,
    volume_of,
)
from serving_assets.pipeline.checks.history import days_made, numbers_before
from serving_assets.pipeline.checks.verdict import Check, Verdict

VOLUME = Check(
    "volume",
    "There are about as many rows as on the same weekday of the eight weeks before, and there are some.",
    compares=True,
)
TIMES = 10
"""How many earlier materializations a table without days is compared with."""


def may_be_empty(table: Table, catalog: Catalog) -> bool:
    """Whether no rows at all are possible: as a source declares, or as all the daily tables below a mapped one do."""
    if isinstance(table.spec, Source):
        return table.spec.may_be_empty
    daily = [catalog.tables[name] for name in table.inputs if catalog.tables[name].daily]
    return bool(daily) and all(may_be_empty(each, catalog) for each in daily)


def check_daily_volume(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    stored: LakeTable,
    days: DayRange,
    version: int,
    thresholds: TableChecks,
    *,
    empty: bool = False,
) -> Verdict:
    """Each of `days` against those before it; the worst decides. `empty`: a day may have no rows."""
    first = days.first - timedelta(days=thresholds.volume_days)
    rows = rows_by_day(stored, DayRange(first, days.last), version)
    made = {*days_made(instance, asset), *days.days()}
    rows.update({day: 0 for day in made if first <= day <= days.last})
    found: dict[date | None, Volume] = {
        day: volume_of(rows[day], day, rows, thresholds.volume_days) for day in days.days()
    }
    return _verdict(found, thresholds, empty=empty)


def check_volume(
    instance: dg.DagsterInstance, asset: dg.AssetKey, rows: int, thresholds: TableChecks, *, empty: bool = False
) -> Verdict:
    """A table without days against what it was the times before."""
    earlier = [numbers["rows"] for numbers in numbers_before(instance, asset, TIMES) if "rows" in numbers]
    return _verdict({None: volume_among(rows, earlier)}, thresholds, empty=empty)


def rows_by_day(stored: LakeTable, days: DayRange, version: int) -> Counter[date]:
    """Rows of each day that has some."""
    rows = Counter[date]()
    for file in stored.scan({DAY: days}, version=version).files(check=False):
        day = file.partition[DAY]
        assert isinstance(day, date)
        rows[day] += file.rows
    return rows


def _verdict(found: Mapping[date | None, Volume], thresholds: TableChecks, *, empty: bool) -> Verdict:
    severities = {day: judge_volume(volume, thresholds, may_be_empty=empty) for day, volume in found.items()}
    ranked = sorted(found, key=lambda day: (ORDER.index(severities[day]), abs(found[day].change)), reverse=True)
    worst = ranked[0]
    volume, severity = found[worst], severities[worst]
    bad = [_row(day, found[day]) for day in ranked if severities[day] != "pass"]
    numbers: dict[str, float] = {"rows": volume.rows, "z": round(volume.z, 2), "days_looked_at": volume.days}
    if volume.expected is not None:
        numbers["expected"] = round(volume.expected, 1)
    return VOLUME.verdict(
        severity,
        _message(worst, volume, len(bad), len(found)),
        measured=round(volume.change, 4),
        threshold=_threshold(volume, thresholds, severity),
        examples=bad if len(found) > 1 else (),
        numbers=numbers,
        days=[day for day, found in severities.items() if day is not None and found == severity],
    )


def _threshold(volume: Volume, thresholds: TableChecks, severity: str) -> float:
    if volume.change > 0:
        return thresholds.rise_error if severity == "error" else thresholds.rise_warn
    return -(thresholds.volume_error if severity == "error" else thresholds.volume_warn)


def _message(day: date | None, volume: Volume, bad: int, days: int) -> str:
    when = f" on {day}" if day and days > 1 else ""
    others = f" {bad:,} of {days:,} days are out of the ordinary; this is the worst." if bad > 1 else ""
    if volume.expected is None:
        fewest = FEWEST_TIMES if day is None else FEWEST_DAYS
        why = f"only {volume.days} earlier ones are known, {fewest} are needed"
        if volume.empty == "usual":
            why = "most earlier ones of this weekday had no rows"
        elif volume.days >= fewest:
            why = f"fewer than {FEWEST_ROWS} rows are expected, so a difference may be chance"
        return f"{volume.rows:,} rows{when}; not compared: {why}.{others}"
    return (
        f"{volume.rows:,} rows{when}, {volume.change:+.0%} against the {volume.expected:,.0f} expected "
        f"(z {volume.z:+.1f}, from {volume.days} earlier ones).{others}"
    )


def _row(day: date | None, volume: Volume) -> dict[str, Any]:
    return {
        "day": day,
        "rows": volume.rows,
        "expected": None if volume.expected is None else round(volume.expected, 1),
        "change": f"{volume.change:+.0%}",
        "z": round(volume.z, 1),
    }
