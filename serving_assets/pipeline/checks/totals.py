"""Totals: no part of a day has been lost.

Here: adding each amount of a daily table up by day, and the verdict. Not here: what is expected (monitoring/totals.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.lake import DayRange, LakeTable
from serving_assets.monitoring.severity import worst
from serving_assets.monitoring.totals import Amount, ColumnTotal, totals_of
from serving_assets.pipeline.checks.typical_amounts import amounts_of
from serving_assets.pipeline.checks.verdict import Check, Verdict

TOTALS = Check(
    "totals",
    "No column's total is lower than expected from the day's rows: all departments and channels are there.",
    blocking=False,
    compares=True,
)


def check_totals(engine: Engine, table: Table, stored: LakeTable, days: DayRange, version: int) -> Verdict:
    """Each of `days` against those before it; the largest loss decides. The rows are read, compact as they are."""
    thresholds, columns = table.spec.checks, amounts_of(table)
    first = days.first - timedelta(days=thresholds.amount_days)
    rows, totals = _by_day(engine, table, stored, DayRange(first, days.last), version, columns)
    found = [
        (day, total)
        for day in days.days()
        if day in totals
        for total in totals_of(day, totals, rows, thresholds.amount_days)
    ]
    severity = worst(total.severity(thresholds) for _, total in found)
    bad = [(day, total) for day, total in found if total.severity(thresholds) != "pass"]
    ranked = sorted(bad or found, key=lambda each: -each[1].lost)
    if not ranked:
        why = "There are no rows." if columns else "No column has amounts."
        return TOTALS.verdict("pass", why, measured=0, threshold=thresholds.total_warn)
    return TOTALS.verdict(
        severity,
        _message(*ranked[0], len(bad)),
        measured=round(ranked[0][1].lost, 4),
        threshold=thresholds.total_error if severity == "error" else thresholds.total_warn,
        examples=[_row(day, total) for day, total in ranked] if bad else (),
        numbers={total.column: total.volume.rows for day, total in found if day == days.last},
        days=sorted({day for day, total in found if total.severity(thresholds) == severity}),
    )


def _by_day(
    engine: Engine, table: Table, stored: LakeTable, days: DayRange, version: int, columns: list[str]
) -> tuple[dict[date, int], dict[date, Mapping[str, Amount]]]:
    if not columns:
        return {}, {}
    made = "{{'total': sum({0}) FILTER (isfinite({0})), 'rows': count(*) FILTER ({0} <> 0)}} AS {0}"
    sums = ", ".join(made.format(identifier(name)) for name in columns)
    sql = f"SELECT {DAY}, count(*) AS rows__, {sums} FROM t GROUP BY {DAY}"
    scan = Input(stored.scan({DAY: days}, version=version))
    found = engine.collect(Query(sql, {"t": scan}, timezone=table.domain.timezone)).to_pylist()
    totals: dict[date, Mapping[str, Amount]] = {
        row[DAY]: {name: Amount(row[name]["total"] or 0.0, row[name]["rows"]) for name in columns} for row in found
    }
    return {row[DAY]: row["rows__"] for row in found}, totals


def _message(day: date, total: ColumnTotal, bad: int) -> str:
    if total.volume.expected is None:
        return "Nothing to compare with: there are too few earlier days, or too small totals."
    message = (
        f"{total.column} of {day} adds up to {total.volume.rows:,}, and {total.volume.expected:,.0f} were expected"
    )
    message += f": {total.lost:.0%} less than expected from the day's rows."
    return message + (f" {bad - 1} other totals are too low as well." if bad > 1 else "")


def _row(day: date, total: ColumnTotal) -> dict[str, Any]:
    return {
        "day": day,
        "column": total.column,
        "total": total.volume.rows,
        "expected": total.volume.expected,
        "lost": f"{total.lost:.0%}",
        "z": round(total.volume.z, 1),
    }
