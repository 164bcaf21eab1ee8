"""What an answer by the fallback costs: its champion against the use case's own, on the same held-out rows.

Here: which rows both can be asked about, and the comparison. Not here: when the fallback answers (serving/), or the
comparison with a champion or a baseline (models/).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Input, Query
from serving_assets.lake import AnyOf
from serving_assets.models.evaluation import Difference, paired_bootstrap
from serving_assets.models.training import split_days
from serving_assets.pipeline.platform import Platform


@dataclass(frozen=True)
class FallbackGap:
    """AUC of a use case's champion minus that of its fallback's, by the use case's own labels."""

    use_case: str
    fallback: str
    rows: int
    days: int
    auc: Difference


def fallback_gap(platform: Platform, use_case: BoundUseCase, *, resamples: int = 1_000) -> FallbackGap | None:
    """The gap on every row of the held-out days that stands in both training sets.

    A champion is never fitted on days that its newest training set holds out, so neither has seen these rows. None
    without a fallback, without two champions, or where the two training sets have no held-out row in common.
    """
    declared = use_case.spec.serve.fallback
    if declared is None:
        return None
    fallback = platform.catalog.use_case(declared.use_case)
    key, label = use_case.spec.entity.key, use_case.spec.labels.column
    days = sorted(_held_out(platform, use_case) & _held_out(platform, fallback))
    pair = (use_case, fallback)
    if not days or fallback.spec.entity.key != key or None in [platform.registry.champion(one.name) for one in pair]:
        return None
    inputs = {
        name: Input(platform.lake.table(one.lake_name("training_set")).scan({DAY: AnyOf(frozenset(days))}))
        for name, one in zip(("own", "other"), pair, strict=True)
    }
    shared = f'SELECT {DAY}, "{key}" FROM own SEMI JOIN other USING ({DAY}, "{key}") WHERE "{label}" IS NOT NULL'
    order = f'({DAY}, "{key}") ORDER BY {DAY}, "{key}"'
    tables = [
        platform.engine.collect(
            Query(f"SELECT * FROM {one} SEMI JOIN ({shared}) AS shared USING {order}", inputs)
        ).combine_chunks()
        for one in ("own", "other")
    ]
    if not tables[0].num_rows:
        return None
    scores = []
    for one, table in zip(pair, tables, strict=True):
        scorer = platform.registry.bundle(one.name, platform.registry.serving_champion(one.name)).scorer()
        scores.append(scorer.score(table.to_batches()[0])[scorer.columns[0]])
    labels, entities = tables[0][label].to_numpy(), tables[0][key].to_numpy()
    found = paired_bootstrap(labels, scores[0], {fallback.name: scores[1]}, entities, resamples=resamples)
    return FallbackGap(use_case.name, fallback.name, len(labels), len(days), found[fallback.name])


def _held_out(platform: Platform, use_case: BoundUseCase) -> set[date]:
    model, horizon = use_case.spec.model, use_case.spec.labels.horizon_days
    days = platform.lake.table(use_case.lake_name("training_set")).partitions(DAY)
    return set(split_days(days, holdout=model.holdout, horizon_days=horizon).holdout) if days else set()
