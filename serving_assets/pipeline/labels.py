"""Labels as every reader sees them: one per entity, 0 or 1, or not known yet.

Here: the SQL of a label and what is refused. Not here: which days are labelled (days.py), or what is made of labels
(stages/training.py, checks/quality.py).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Query
from serving_assets.errors import InputError, listed
from serving_assets.pipeline.days import as_of, label_inputs
from serving_assets.pipeline.platform import Platform

SHOWN = 100


def label_of(use_case: BoundUseCase, entity: str, found: str) -> str:
    """SQL of an entity's label after a LEFT JOIN of labels.sql, whose columns are `entity` and `found`.

    An entity that labels.sql does not return has the declared default; NULL, which means not known yet, stays NULL.
    """
    default = float(use_case.spec.labels.default_label)
    return f"CASE WHEN {entity} IS NULL THEN CAST({default!r} AS DOUBLE) ELSE CAST({found} AS DOUBLE) END"


def refuse_unfit_labels(use_case: BoundUseCase, platform: Platform, day: date) -> None:
    """Refuse labels after `day` that stand twice, are neither 0 nor 1, or, where that is declared, are not known yet.

    Raises:
        InputError: naming the file, the day and some of the keys.
    """
    spec = use_case.spec.labels
    key, label = identifier(use_case.spec.entity.key), f"CAST({identifier(spec.column)} AS DOUBLE)"
    other = f"{label} NOT IN (0, 1)"
    tallies = _collect(
        use_case,
        platform,
        day,
        f"SELECT count({key}) - count(DISTINCT {key}) AS twice, count(*) FILTER ({other}) AS other, "
        f"count(*) FILTER ({label} IS NULL) AS unknown FROM labelled",
    )[0]
    file = use_case.labels.path
    if tallies["twice"]:
        rows = _collect(
            use_case,
            platform,
            day,
            f"SELECT {key} AS key, count(*) AS copies FROM labelled WHERE {key} IS NOT NULL "
            f"GROUP BY {key} HAVING count(*) > 1 ORDER BY 1 LIMIT {SHOWN}",
        )
        keys = listed(f"{row['key']} ({row['copies']} times)" for row in rows)
        raise InputError(
            f"{file}: returns {tallies['twice']:,} rows too many for what happened after {day}: {keys}.",
            hint=f"Return one row per {use_case.spec.entity.key}: aggregate, or SELECT DISTINCT.",
        )
    if tallies["other"]:
        rows = _collect(
            use_case, platform, day, f"SELECT DISTINCT {label} AS v FROM labelled WHERE {other} LIMIT {SHOWN}"
        )
        raise InputError(
            f"{file}: {tallies['other']:,} labels after {day} are neither 0 nor 1: "
            f"{listed(sorted(row['v'] for row in rows))}.",
            hint="Return 1 where it happened and 0 where it did not.",
        )
    if tallies["unknown"] and spec.null_labels == "refuse":
        raise InputError(
            f"{file}: {tallies['unknown']:,} labels after {day} are NULL, and null_labels is 'refuse'.",
            hint='Return a label for each row, or declare Labels(null_labels="leave_out").',
        )


def _collect(use_case: BoundUseCase, platform: Platform, day: date, sql: str) -> list[dict[str, Any]]:
    """The rows of `sql` over `labelled`, which is labels.sql after `day`."""
    query = Query(
        f"WITH labelled AS (SELECT * FROM ({use_case.labels.text}) AS labels__) {sql}",
        label_inputs(use_case, platform.catalog, platform.lake, day),
        {"as_of": as_of(day, use_case.domain.timezone)} if use_case.labels.uses_as_of else {},
        use_case.domain.timezone,
    )
    rows: list[dict[str, Any]] = platform.engine.collect(query).to_pylist()
    return rows
