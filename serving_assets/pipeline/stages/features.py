"""Features: one row per entity, as known at the end of the partition's day.

Here: the asset of one use case's features. Not here: its SQL (catalog/use_cases/), or the windows
(pipeline/days.py).
"""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.columns import Column
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY, LastDays
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.pipeline.checks.contract import CONTRACT, check_contract
from serving_assets.pipeline.checks.point_in_time import POINT_IN_TIME, check_point_in_time
from serving_assets.pipeline.checks.profile import (
    FEATURE_DRIFT,
    NULL_RATES,
    champion_bundle,
    check_feature_drift,
    check_null_rates,
    counted_features,
)
from serving_assets.pipeline.checks.volume import VOLUME, check_daily_volume
from serving_assets.pipeline.dagster_instance.step_metadata import described, measured, table_lineage, written_metadata
from serving_assets.pipeline.days import as_of, feature_inputs, last_days
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.input_gates import refuse_unfit_table
from serving_assets.pipeline.stages.step import THE_ENGINE, Step, stage_asset

CHECKS = (CONTRACT, POINT_IN_TIME, VOLUME, NULL_RATES, FEATURE_DRIFT)


def features_query(use_case: BoundUseCase, platform: Platform, day: date) -> Query:
    """Return features.sql over what may be known at the end of `day`, with the partition column."""
    timezone = use_case.domain.timezone
    return Query(
        f"SELECT CAST('{day}' AS DATE) AS {DAY}, * FROM ({use_case.features.text})",
        feature_inputs(use_case, platform.catalog, platform.lake, day),
        {"as_of": as_of(day, timezone)} if use_case.features.uses_as_of else {},
        timezone,
    )


def feature_columns(use_case: BoundUseCase) -> dict[str, Column]:
    """Return the columns of the features table: types from the SQL, and what the use case declares beyond them."""
    declared = use_case.spec.features.columns
    return {
        name: declared.get(name, Column(dtype=dtype, description="")) for name, dtype in use_case.feature_schema.items()
    }


def features_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `<use_case>/features`."""
    spec = use_case.spec
    keys = {name: dg.AssetKey([platform.catalog.tables[name].layer, name]) for name in spec.features.inputs}
    lineage = table_lineage(use_case.feature_lineage, keys)
    return stage_asset(
        dg.AssetKey([use_case.name, "features"]),
        partial(_build, use_case),
        group=use_case.name,
        description=f"The features of each {spec.entity.key} at the end of the day, for: {spec.description}",
        owners=spec.owners,
        kinds={"sql", THE_ENGINE, "deltalake"},
        deps=[_window_dep(keys[name], window) for name, window in spec.features.inputs.items()],
        partitions=platform.partitions(use_case.domain.timezone),
        checks=CHECKS,
        metadata=described(
            use_case.lake_name("features"),
            use_case.features.path,
            use_case.folder / "use_case.py",
            columns=feature_columns(use_case),
            key=(spec.entity.key,),
            lineage=lineage,
        ),
        compute=spec.compute.get("features"),
    )


def _build(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, day, spec = step.platform, step.day, use_case.spec
    timezone = use_case.domain.timezone
    for name, window in spec.features.inputs.items():
        read = last_days(day, window.days) if isinstance(window, LastDays) else None
        source = p.catalog.tables[name]
        refuse_unfit_table(step.context.instance, p.first_day(source.domain), source, read, str(step))
    query = features_query(use_case, p, day)
    inputs = {name: source for name, source in query.inputs.items() if isinstance(source, Input)}
    table = p.lake.table(use_case.lake_name("features"))
    with measured() as cost:
        written = p.engine.transform([query], Target(table, {DAY: day}, (DAY,)))
    rows = Input(table.scan({DAY: day}, version=written.version))
    counted = counted_features(p.engine, rows, champion_bundle(p, use_case.name), use_case.feature_names)
    verdicts = [
        check_contract(p.engine, rows, (spec.entity.key,), feature_columns(use_case)),
        check_point_in_time(p.engine, inputs, day, timezone),
        check_daily_volume(step.context.instance, step.asset, table, step.days, written.version, spec.checks),
        check_null_rates(counted, spec.checks),
        check_feature_drift(counted, spec.checks, pictured=step.pictured),
    ]
    return step.result(written_metadata(written, cost), verdicts)


def _window_dep(key: dg.AssetKey, window: object) -> dg.AssetDep:
    if not isinstance(window, LastDays):
        return dg.AssetDep(key)
    mapping = dg.TimeWindowPartitionMapping(
        start_offset=1 - window.days, end_offset=0, allow_nonexistent_upstream_partitions=True
    )
    return dg.AssetDep(key, partition_mapping=mapping)
