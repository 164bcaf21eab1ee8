"""A range of days in the order that costs least: heavy stages at once, predictions by day, publication at the end.

Here: which runs a backfill consists of. Not here: one run (run_assets.py); pausing and resuming (backfill.py);
backfills that the UI launches, which Dagster splits itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.lake.day_ranges import chunks, ranges
from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.local_runner.worker_pool import Opened, run_side_by_side
from serving_assets.pipeline.asset_keys import TRAINING_STAGES, online_features_keys, stage_keys, upstream_tables
from serving_assets.pipeline.automation.backfill_record import Phase
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.dagster_instance.tags import PHASE_TAG, PRIORITY_TAG
from serving_assets.pipeline.platform import Platform

MOST_BAD_DAYS = 10
DAILY_TABLES = ("features", "predictions", "historic")
FEWEST_SIDE_BY_SIDE = 10
"""Days that are worth the seconds that processes take to start."""


def refuse_days_without_partition(platform: Platform, use_case: BoundUseCase, days: DayRange) -> None:
    """Refuse days before the first of the use case, and those that have not ended.

    Raises:
        InputError: naming the days that there are, and what sets the first.
    """
    first, newest = (
        platform.first_day_of(use_case),
        platform.partitions(use_case.domain.timezone).get_last_partition_key(),
    )
    if newest is None or not str(first) <= str(days.first) <= str(days.last) <= newest:
        raise InputError(
            f"{use_case.name} has days from {first} ({platform.first_day_is_set_by(use_case)}) to "
            f"{newest or 'none yet'}; {days.first} to {days.last} is not among them.",
            hint="Name days in between, or change the first day where it is set. A day is there when it has ended.",
        )


def backfill_tables(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    catalog: Catalog,
    use_case: BoundUseCase,
    days: DayRange,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Outcome]:
    """Materialize raw and mapped tables of the range, a chunk in one run; the generator yields as each piece ends.

    A chunk that fails is run again in halves, so that a bad day fails alone; what is yielded has succeeded or is a
    single day. When `MOST_BAD_DAYS` have failed, something is wrong with all of them, and pieces fail whole.
    """
    keys, bad = upstream_tables(catalog, use_case), 0
    pieces = chunks(days)
    while pieces:
        piece = pieces.pop(0)
        outcome = run_assets(defs, instance, keys, piece, tags=_tags(use_case, Phase.TABLES, tags))
        if outcome.success or len(piece) == 1 or bad >= MOST_BAD_DAYS:
            bad += not outcome.success
            yield outcome
        else:
            pieces[:0] = chunks(piece, (len(piece) + 1) // 2)


def backfill_predictions(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    use_case: BoundUseCase,
    days: Iterable[date],
    tags: Mapping[str, str] | None = None,
    *,
    processes: int = 1,
    opens: Callable[[], Opened] | None = None,
) -> Iterator[Outcome]:
    """Materialize features, predictions and history of each day in a run of its own: a bad day fails alone.

    In this process, or, where there are enough days, in `processes` others that run with what `opens` returns.
    """
    keys, tags = stage_keys(use_case, DAILY_TABLES), _tags(use_case, Phase.PREDICTIONS, tags)
    due = sorted(days)
    if opens and processes > 1 and len(due) >= FEWEST_SIDE_BY_SIDE:
        yield from run_side_by_side(opens, keys, due, tags, processes)
    else:
        yield from (run_assets(defs, instance, keys, day, tags=tags) for day in due)


def publish(
    defs: dg.Definitions, instance: dg.DagsterInstance, use_case: BoundUseCase, tags: Mapping[str, str] | None = None
) -> Outcome:
    """Materialize latest, online and the online features, once for all the days before."""
    keys = [*stage_keys(use_case, ("latest", "online")), *online_features_keys(use_case)]
    return run_assets(defs, instance, keys, tags=_tags(use_case, Phase.PUBLICATION, tags))


def _tags(use_case: BoundUseCase, phase: Phase, more: Mapping[str, str] | None) -> dict[str, str]:
    return {
        "use_case": use_case.name,
        PHASE_TAG: phase.value,
        PRIORITY_TAG: str(Priority.BACKFILL.value),
        **(more or {}),
    }


def train(
    defs: dg.Definitions, instance: dg.DagsterInstance, use_case: BoundUseCase, through: date | None = None
) -> Outcome:
    """Run the training job's assets; `through` is the newest day that may be used."""
    config = {f"{use_case.name}__training_set": {"config": {"through": str(through)}}} if through else None
    keys = stage_keys(use_case, TRAINING_STAGES)
    return run_assets(defs, instance, keys, config=config, tags={"use_case": use_case.name})


def missing_days(
    instance: dg.DagsterInstance, use_case: BoundUseCase, catalog: Catalog, days: DayRange
) -> list[DayRange]:
    """Return the days of a range on which some daily table of the use case is not materialized, as ranges."""
    tables = [k for k in upstream_tables(catalog, use_case) if catalog.tables[k.path[-1]].daily]
    have = [instance.get_materialized_partitions(key) for key in tables]
    return ranges(day for day in days.days() if not all(str(day) in found for found in have))


def unscored_days(instance: dg.DagsterInstance, use_case: BoundUseCase, days: DayRange) -> list[DayRange]:
    """Return the days of a range without a prediction in the history, as ranges."""
    have = instance.get_materialized_partitions(dg.AssetKey([use_case.name, "historic"]))
    return ranges(day for day in days.days() if str(day) not in have)
