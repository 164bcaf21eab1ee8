"""The training set: features at past days, with what happened after each of them.

Here: the asset `training_set` of one use case: which days, which SQL, and what is refused. Not here: the model made of
it (training.py), or the use case's features.sql and labels.sql.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import Column, identifier, optional, required
from serving_assets.catalog.discovery import BoundUseCase, Table
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError, listed
from serving_assets.lake import DayRange
from serving_assets.models.training import BASELINE
from serving_assets.pipeline.dagster_instance.step_metadata import (
    described,
    measured,
    table_lineage,
    written_metadata,
)
from serving_assets.pipeline.days import as_of, feature_inputs, label_inputs, last_days
from serving_assets.pipeline.labels import label_of, refuse_unfit_labels
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import feature_columns
from serving_assets.pipeline.stages.input_gates import refuse_unfit_table
from serving_assets.pipeline.stages.step import THE_ENGINE, Step, stage_asset

THROUGH = {
    "through": dg.Field(
        str,
        is_required=False,
        description="Newest day that may be used, YYYY-MM-DD; default: the newest there is.",
    )
}


def as_of_days(use_case: BoundUseCase, first: date, through: date) -> list[date]:
    """Return the days that are trained on, oldest first: those whose label is known and whose window is whole.

    Raises:
        InputError: when the history is too short to hold out what the model declares and still train.
    """
    spec = use_case.spec
    model, features = spec.model, spec.features
    newest = through - timedelta(days=spec.labels.horizon_days)
    oldest = first + timedelta(days=features.window_days - 1)
    days = [newest - timedelta(days=model.every_days * back) for back in range(model.as_ofs)]
    whole = sorted(day for day in days if day >= oldest)
    if len(whole) < spec.as_ofs_needed:
        days_there, needed = (through - first).days + 1, spec.history_days_needed
        raise InputError(
            f"{use_case.name}: training needs {needed} days of history, and from {first} to {through} there are "
            f"{max(days_there, 0)}: {features.window_days} days of features, {spec.as_ofs_needed} as-of days "
            f"{model.every_days} days apart ({model.holdout} of them held out), {spec.labels.horizon_days} of labels.",
            hint=f"Train when {first + timedelta(days=needed - 1)} is there, backfill earlier days, or lower "
            "model.holdout.",
        )
    return whole


def training_query(use_case: BoundUseCase, platform: Platform, day: date) -> Query:
    """Return the features, label and baselines as of the end of `day`."""
    spec = use_case.spec
    features = feature_inputs(use_case, platform.catalog, platform.lake, day)
    labels = label_inputs(use_case, platform.catalog, platform.lake, day)
    baselines = "".join(f', CAST({b.expression} AS DOUBLE) AS "{BASELINE}{b.name}"' for b in spec.model.baselines)
    key, label = spec.entity.key, spec.labels.column
    uses_as_of = use_case.features.uses_as_of or use_case.labels.uses_as_of
    return Query(
        f"""
        SELECT CAST('{day}' AS DATE) AS {DAY}, f.*,
               {label_of(use_case, "l.entity__", "l.label__")} AS "{label}"{baselines}
        FROM ({_scoped(use_case.features.text, "features", features)}) AS f
        LEFT JOIN (
            SELECT "{key}" AS entity__, "{label}" AS label__
            FROM ({_scoped(use_case.labels.text, "labels", labels)}) AS labelled
        ) AS l ON l.entity__ = f."{key}"
        """,
        {f"features__{n}": i for n, i in features.items()} | {f"labels__{n}": i for n, i in labels.items()},
        {"as_of": as_of(day, use_case.domain.timezone)} if uses_as_of else {},
        use_case.domain.timezone,
    )


def _scoped(sql: str, prefix: str, inputs: Iterable[str]) -> str:
    """`sql` with its inputs bound to views of a prefix: features and labels see different days of the same table."""
    views = ", ".join(f'"{name}" AS (SELECT * FROM "{prefix}__{name}")' for name in inputs)
    return f"WITH {views} SELECT * FROM ({sql}) AS scoped"


def training_set_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `<use_case>/training_set`."""
    spec = use_case.spec
    tables = platform.catalog.tables
    keys = {name: dg.AssetKey([tables[name].layer, name]) for name in (*spec.features.inputs, *spec.labels.inputs)}
    labels = use_case.labels.lineage({name: tables[name].schema for name in spec.labels.inputs})
    return stage_asset(
        dg.AssetKey([use_case.name, "training_set"]),
        partial(_build, use_case),
        group=use_case.name,
        description=f"The features at the end of up to {spec.model.as_ofs} days, with the label of each. "
        f"Needs {spec.history_days_needed} days of history.",
        owners=spec.owners,
        kinds={"sql", THE_ENGINE, "deltalake"},
        deps=list(keys.values()),
        metadata=described(
            use_case.lake_name("training_set"),
            use_case.features.path,
            use_case.labels.path,
            columns=training_columns(use_case),
            lineage=table_lineage({**use_case.feature_lineage, **labels}, keys),
        ),
        config=THROUGH,
        compute=spec.compute.get("training_set"),
    )


def training_columns(use_case: BoundUseCase) -> dict[str, Column]:
    """Return the columns of the training set: day, features, label, and the baselines' rankings."""
    model, label = use_case.spec.model, use_case.spec.labels.column
    return {
        DAY: required("date", "The day at whose end the features look."),
        **feature_columns(use_case),
        label: optional("float64", "What happened after that day; empty while it is not known."),
        **{f"{BASELINE}{b.name}": optional("float64", f"A ranking to beat: {b.expression}") for b in model.baselines},
    }


def _build(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, spec, instance = step.platform, use_case.spec, step.context.instance
    tables = [p.catalog.tables[name] for name in dict.fromkeys((*spec.features.inputs, *spec.labels.inputs))]
    daily = [table for table in tables if table.daily]
    through = step.context.op_execution_context.op_config.get("through")
    newest = date.fromisoformat(through) if through else _newest_day(instance, daily, use_case.name)
    days = as_of_days(use_case, p.first_day_of(use_case), newest)
    read = DayRange(last_days(days[0], spec.features.window_days).first, newest)
    for table in tables:
        refuse_unfit_table(instance, p.first_day(table.domain), table, read if table.daily else None, str(step))
    for day in days:
        refuse_unfit_labels(use_case, p, day)
    queries = [training_query(use_case, p, day) for day in days]
    target = Target(p.lake.table(use_case.lake_name("training_set")), partition_by=(DAY,))
    with measured() as cost:
        written = p.engine.transform(queries, target)
    rows = Input(target.table.scan(version=written.version))
    _refuse_twice(use_case, p, rows)
    unknown = p.engine.collect(
        Query(f"SELECT count(*) AS n FROM t WHERE {identifier(spec.labels.column)} IS NULL", {"t": rows})
    )["n"][0].as_py()
    if unknown:
        step.context.log.info(f"{unknown:,} of {written.rows:,} rows have no label yet; training leaves them out.")
    facts = {
        "as_of_days": len(days),
        "oldest": str(days[0]),
        "newest": str(days[-1]),
        "labels_not_known_yet": unknown,
        "history_days_needed": spec.history_days_needed,
    }
    return step.result(written_metadata(written, cost, partitioned=False) | facts)


def _refuse_twice(use_case: BoundUseCase, platform: Platform, rows: Input) -> None:
    """Labels stand once by now, so what stands twice was returned twice by features.sql."""
    key = identifier(use_case.spec.entity.key)
    sql = f"SELECT {DAY}, {key} AS key, count(*) AS n FROM t GROUP BY {DAY}, {key} HAVING n > 1 ORDER BY ALL LIMIT 100"
    if found := platform.engine.collect(Query(sql, {"t": rows})).to_pylist():
        keys = listed(f"{row['key']} on {row[DAY]} ({row['n']} times)" for row in found)
        raise InputError(
            f"{use_case.features.path}: returns entities more than once: {keys}.",
            hint=f"Return one row per {use_case.spec.entity.key}: aggregate, or join on unique keys.",
        )


def _newest_day(instance: dg.DagsterInstance, tables: list[Table], name: str) -> date:
    """The newest day that all daily inputs have."""
    found = [instance.get_materialized_partitions(dg.AssetKey([table.layer, table.name])) for table in tables]
    if not all(found):
        raise InputError(f"{name}: the daily inputs are empty.", hint="Backfill them: serving-assets backfill.")
    return date.fromisoformat(min(max(days) for days in found))
