"""Typical amounts: no unit has changed.

Here: each day's typical amount of each column, recorded with the materialization, and compared with those of earlier
ones. Not here: the comparison (monitoring/typical_amounts.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.monitoring.severity import worst
from serving_assets.monitoring.typical_amounts import FEWEST_DAYS, FEWEST_VALUES, Level, levels_of
from serving_assets.pipeline.checks.history import numbers_of_days
from serving_assets.pipeline.checks.verdict import Check, Verdict

TYPICAL_AMOUNTS = Check(
    "typical_amounts",
    "Typical amounts are of the size that they were on the days before: no unit has changed.",
    compares=True,
)
_TYPICAL = "typical_"
NEWEST = "newest_row"
"""Of a day's facts: the timestamp of its newest row."""

Facts = dict[date, dict[str, Any]]


def amounts_of(table: Table) -> list[str]:
    """Columns whose size has a meaning: numbers with decimals. Whole ones are mostly ids and codes."""
    return [name for name, column in table.columns.items() if column.dtype in ("float32", "float64")]


def facts_of_days(engine: Engine, table: Table, rows: Input) -> Facts:
    """By day: the typical amounts, as the metadata `typical_<column>`, and the newest timestamp.

    A median by t-digest, in bounded memory and right to a percent; of values that are not zero, because where most
    are, the median is zero.
    """
    assert table.spec.event_time is not None
    columns = amounts_of(table)
    parts = [f"CAST(max({identifier(table.spec.event_time)}) AS TIMESTAMPTZ) AS {NEWEST}"]
    for name in columns:
        column = identifier(name)
        some = f"FILTER (isfinite({column}) AND {column} <> 0)"
        parts.append(f"approx_quantile(CAST({column} AS DOUBLE), 0.5) {some} AS {identifier(_TYPICAL + name)}")
        parts.append(f"count(*) {some} AS {identifier('values_' + name)}")
    sql = f"SELECT {DAY}, {', '.join(parts)} FROM t GROUP BY {DAY}"
    found = engine.collect(Query(sql, {"t": rows}, timezone=table.domain.timezone)).to_pylist()
    facts: Facts = {}
    for row in found:
        typical = {_TYPICAL + c: row[_TYPICAL + c] for c in columns if row[f"values_{c}"] >= FEWEST_VALUES}
        facts[row[DAY]] = {**typical, NEWEST: row[NEWEST]}
    return facts


def recorded_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A day's facts as metadata of its materialization."""
    return {name: str(value) if isinstance(value, datetime) else value for name, value in facts.items()}


def check_typical_amounts(instance: dg.DagsterInstance, asset: dg.AssetKey, table: Table, facts: Facts) -> Verdict:
    """Each day of a run against the days before it, of this run or of earlier ones; the largest factor decides."""
    thresholds = table.spec.checks
    if not facts or not amounts_of(table):
        why = "No column has amounts." if facts else "There are no rows."
        return TYPICAL_AMOUNTS.verdict("pass", why, measured=1, threshold=thresholds.level_warn)
    window = timedelta(days=thresholds.amount_days)
    first, last = min(facts), max(facts)
    asked = [first - timedelta(days=back) for back in range(1, thresholds.amount_days + 1)]
    known = {**numbers_of_days(instance, asset, asked), **facts}
    levels: list[tuple[date, Level]] = []
    for day in facts:
        history = [_typical(facts) for when, facts in known.items() if day - window <= when < day]
        levels += [(day, level) for level in levels_of(_typical(facts[day]), history)]
    levels.sort(key=lambda found: -found[1].factor)
    return _verdict(table, levels, last)


def _typical(facts: Mapping[str, Any]) -> dict[str, float]:
    return {name.removeprefix(_TYPICAL): facts[name] for name in facts if name.startswith(_TYPICAL)}


def _verdict(table: Table, levels: list[tuple[date, Level]], last: date) -> Verdict:
    thresholds = table.spec.checks
    if not levels:
        message = (
            f"Nothing to compare with: fewer than {FEWEST_DAYS} earlier days are known, or there are too few values."
        )
        return TYPICAL_AMOUNTS.verdict("pass", message, measured=1, threshold=thresholds.level_warn)
    severity = worst(level.severity(thresholds) for _, level in levels)
    day, top = levels[0]
    message = f"{top.column} of {day} is typically {top.typical:g}, and was {top.before:g} on the days before"
    message += f": {top.factor:.1f} times as {'large' if top.typical > top.before else 'small'}."
    if severity != "pass":
        message += " Has its unit changed?"
    return TYPICAL_AMOUNTS.verdict(
        severity,
        message,
        measured=round(min(top.factor, 1e9), 3),
        threshold=thresholds.level_error if severity == "error" else thresholds.level_warn,
        examples=[
            {"day": when, "column": level.column, "typical": level.typical, "before": level.before}
            for when, level in levels
            if level.severity(thresholds) != "pass"
        ],
        numbers={level.column: level.typical for when, level in levels if when == last},
        days=sorted({when for when, level in levels if level.severity(thresholds) == severity}),
    )
