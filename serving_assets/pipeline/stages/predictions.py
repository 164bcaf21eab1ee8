"""Predictions: the features of a day through the champion; not yet trusted, so checks gate everything after it.

Here: the asset of one use case's predictions. Not here: the model (models/), or their publication.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from serving_assets.catalog.columns import Column
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Engine, Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.models.bundle import Bundle
from serving_assets.models.lifecycle.champion import point_to_champion
from serving_assets.models.plots import score_histogram
from serving_assets.pipeline.checks.contract import check_contract
from serving_assets.pipeline.checks.coverage import COVERAGE, check_coverage
from serving_assets.pipeline.checks.profile import SCORE_DRIFT, check_score_drift, counted_scores
from serving_assets.pipeline.checks.verdict import Check
from serving_assets.pipeline.checks.volume import VOLUME, check_daily_volume
from serving_assets.pipeline.dagster_instance.step_metadata import (
    described,
    handed_on,
    measured,
    picture,
    written_metadata,
)
from serving_assets.pipeline.days import read_window
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import CHECKS as FEATURES_CHECKS
from serving_assets.pipeline.stages.step import Step, stage_asset

SCORED_DAY, FEATURES_VERSION = "day", "features_version"
"""Commit metadata of `predictions`: which partition the commit wrote, and the version of `features` that it read."""

VALID_SCORES = Check("valid_scores", "Every score is there, finite and within its declared range, one row per entity.")
CHECKS = (VALID_SCORES, COVERAGE, VOLUME, SCORE_DRIFT)


def prediction_columns(use_case: BoundUseCase) -> dict[str, Column]:
    """Return the columns of the predictions table and their contract."""
    spec = use_case.spec
    scores = {
        name: Column(
            dtype="float64", description="As the model returned it, not rounded.", required=True, bounds=bounds
        )
        for name, bounds in spec.predictions.columns.items()
    }
    version = Column(dtype="string", description="Version of the registered model.", required=True)
    return {
        spec.entity.key: Column(dtype=spec.entity.dtype, description="", required=True),
        **scores,
        "model_version": version,
    }


def predictions_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `<use_case>/predictions`."""
    spec = use_case.spec
    features = dg.AssetKey([use_case.name, "features"])
    seen = [dg.TableColumnDep(asset_key=features, column_name=name) for name in use_case.feature_names]
    lineage = {**handed_on([spec.entity.key], features), **dict.fromkeys(spec.predictions.columns, seen)}
    return stage_asset(
        dg.AssetKey([use_case.name, "predictions"]),
        partial(_score, use_case),
        group=use_case.name,
        description=spec.description,
        owners=spec.owners,
        kinds={"onnx", "mlflow", "deltalake"},
        deps=[features, dg.AssetKey([use_case.name, "champion"])],
        partitions=platform.partitions(use_case.domain.timezone),
        checks=CHECKS,
        metadata=described(
            use_case.lake_name("predictions"),
            use_case.folder / "use_case.py",
            columns=prediction_columns(use_case),
            key=(spec.entity.key,),
            lineage=dg.TableColumnLineage(lineage),
        ),
        compute=spec.compute.get("predictions"),
    )


def _score(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, day, spec = step.platform, step.day, use_case.spec
    key = spec.entity.key
    step.refuse_failed("features", FEATURES_CHECKS, step.days)
    version = p.registry.serving_champion(use_case.name)
    bundle = p.registry.bundle(use_case.name, version)
    point_to_champion(p.registry.bundles_dir, use_case.name, version)  # again: a promotion may have been killed before
    scorer = bundle.scorer(threads=p.settings.engine_threads)
    features = Input(p.lake.table(use_case.lake_name("features")).scan({DAY: day}))
    # The table keeps columns that features.sql returned once, empty in newer rows: no score is made of these.
    returned = [field for field in features.scan.schema() if field.name in use_case.feature_schema]
    scorer.signature.check(pa.schema(returned))
    if set(scorer.columns) != set(spec.predictions.columns):
        raise InputError(
            f"{use_case.name}: version {version} gives {', '.join(scorer.columns)}, and declared is "
            f"{', '.join(spec.predictions.columns)}.",
            hint=f"Train a model for the new column: serving-assets train {use_case.name}.",
        )
    table = p.lake.table(use_case.lake_name("predictions"))
    with measured() as cost:
        constants = {DAY: day, "model_version": version}
        read = {SCORED_DAY: str(day), FEATURES_VERSION: str(features.scan.version)}
        target = Target(table, {DAY: day}, (DAY,), metadata=read)
        written = p.engine.score(features, scorer, key, constants, target)
    rows = Input(table.scan({DAY: day}, version=written.version))
    population = spec.features.population
    due = read_window(p.catalog.tables[population], spec.features.inputs[population], day, p.lake)
    verdicts = [
        check_contract(p.engine, rows, (key,), prediction_columns(use_case), VALID_SCORES),
        check_coverage(p.engine, due, rows, key, spec.checks),
        check_daily_volume(step.context.instance, step.asset, table, step.days, written.version, spec.checks),
        check_score_drift(counted_scores(p.engine, rows, bundle, scorer.columns), spec.checks, pictured=step.pictured),
    ]
    facts = written_metadata(written, cost) | {"model_version": version, "scored_by": bundle.form}
    if step.pictured:
        facts |= _histograms(p.engine, rows, bundle, tuple(spec.predictions.columns))
    return step.result(facts, verdicts)


def _histograms(engine: Engine, rows: Input, bundle: Bundle, columns: tuple[str, ...]) -> dict[str, Any]:
    """A picture per score column: this day's scores beside those of the held-out days, in the profile's bins."""
    pictures = {}
    for column in columns:
        reference = bundle.profile.scores[column]
        bins = " + ".join(f'CAST("{column}" >= {edge!r} AS INTEGER)' for edge in reference.edges[1:-1]) or "0"
        sql = f'SELECT {bins} AS bin, count(*) AS n FROM t WHERE "{column}" IS NOT NULL GROUP BY 1'
        counted = {row["bin"]: row["n"] for row in engine.collect(Query(sql, {"t": rows})).to_pylist()}
        current = [counted.get(index, 0) for index in range(len(reference.counts))]
        pictures[f"{column}_histogram"] = picture(
            score_histogram(reference.edges, current, reference.counts, column), column
        )
    return pictures
