"""What every stage's step shares: the platform, the days it is run for, and the result it returns.

Here: the frame around a step. Not here: anything that one stage alone does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg

from serving_assets.catalog.compute import Compute
from serving_assets.failpoints import failpoint
from serving_assets.lake import DayRange
from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.pipeline.dagster_instance.check_records import failed_days
from serving_assets.pipeline.dagster_instance.step_metadata import LINEAGE, RETRIES, permanent_errors
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_ID_TAG, PHASE_TAG
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.prices import COST, Prices
from serving_assets.pipeline.stages.first_history import eased
from serving_assets.pipeline.stages.input_gates import refuse_failed

HEAVY_STAGE = dg.BackfillPolicy.multi_run(max_partitions_per_run=100)
"""Stages that read a range of days at once take a backfill in chunks, unless each day needs a verdict of its own."""

THE_ENGINE = "engine"
"""Among the kinds of an asset: the engine that its stage declares."""


@dataclass(frozen=True)
class Step:
    """One run of one stage."""

    context: dg.AssetExecutionContext
    platform: Platform
    asset: dg.AssetKey
    lineage: dg.TableColumnLineage | None = None
    compute: Compute = field(default_factory=Compute)

    def __str__(self) -> str:
        return self.asset.to_user_string()

    @property
    def days(self) -> DayRange:
        """The days of the run's partition or range of partitions."""
        keys = self.context.partition_key_range
        return DayRange(date.fromisoformat(keys.start), date.fromisoformat(keys.end))

    @property
    def day(self) -> date:
        """The one day of a run that takes a single partition."""
        return date.fromisoformat(self.context.partition_key)

    @property
    def run_id(self) -> str:
        """The run that the rows belong to: for a retry, the run that it retries, whose rows it replaces."""
        return self.context.run.root_run_id or self.context.run.run_id

    @property
    def pictured(self) -> bool:
        """Whether pictures are drawn: not in a backfill, whose days are not viewed one by one."""
        return not self.context.run.tags.keys() & {PHASE_TAG, BACKFILL_ID_TAG}

    def refuse_failed(self, stage: str, gates: Sequence[Check], days: DayRange | None = None) -> None:
        """Refuse to go on from a stage of the same use case that failed a check, in this run or in an earlier one."""
        refuse_failed(self.context.instance, dg.AssetKey([*self.asset.path[:-1], stage]), gates, days, str(self))

    def failed(self, gate: Check) -> bool:
        """Whether this asset failed `gate` when it was last made."""
        return bool(failed_days(self.context.instance, self.asset, gate.name, None))

    def result(
        self,
        metadata: Mapping[str, Any],
        verdicts: Iterable[Verdict] = (),
        of_days: Mapping[date, Mapping[str, Any]] | None = None,
    ) -> dg.MaterializeResult[Any]:
        """Return what the step made and the results of its checks; `of_days` differs between the days of a range."""
        for day, of_day in (of_days or {}).items():
            own = {**of_day, COST: self._cost({**metadata, **of_day})}
            self.context.add_asset_metadata(own, self.asset, str(day))
        most = self.platform.settings.check_examples
        dated = self.context.has_partition_key or self.context.has_partition_key_range
        judged = eased(list(verdicts), self.context.instance, self.platform, self.asset, self.days if dated else None)
        results = [replace(found, examples=found.examples[:most]).result(self.asset) for found in judged]
        shown = {**metadata, COST: self._cost(metadata), **({LINEAGE: self.lineage} if self.lineage else {})}
        return dg.MaterializeResult(asset_key=self.asset, metadata=shown, check_results=results)

    def _cost(self, recorded: Mapping[str, Any]) -> float:
        """In money, of one partition: the days of a range bear the step's work in equal shares."""
        days = len(self.days) if self.context.has_partition_key_range else 1
        shared = {name: recorded[name] / days for name in ("seconds", "cpu_seconds") if name in recorded}
        prices = Prices.of(self.platform.settings)
        return round(prices.cost({**recorded, **shared}, spot=self.compute.spot), 9)


def stage_asset(
    key: dg.AssetKey,
    step: Callable[[Step], dg.MaterializeResult[Any]],
    *,
    group: str,
    description: str,
    owners: Sequence[str],
    kinds: set[str],
    deps: Sequence[dg.AssetDep | dg.AssetKey] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    checks: Sequence[Check] = (),
    metadata: Mapping[str, Any] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    pool: str | None = None,
    config: Mapping[str, dg.Field] | None = None,
    compute: Compute | None = None,
) -> dg.AssetsDefinition:
    """The Dagster asset that runs `step`.

    Permanent errors fail at once, passing ones are retried. `config` names what may be set at launch.
    `compute` bounds the step's engine, and its tags are read by whatever schedules the step.
    """
    compute = compute or Compute()
    return dg.asset(
        key=key,
        group_name=group,
        description=description,
        owners=list(owners),
        kinds={compute.engine if kind == THE_ENGINE else kind for kind in kinds},
        deps=list(deps),
        partitions_def=partitions,
        check_specs=[check.spec(key) for check in checks],
        metadata=dict(metadata or {}),
        backfill_policy=backfill_policy,
        retry_policy=RETRIES,
        required_resource_keys={"platform"},
        pool=pool,
        config_schema=dict(config or {}),
        op_tags=compute.op_tags(),
    )(_compute(key, step, compute, (metadata or {}).get(LINEAGE)))


def _compute(
    key: dg.AssetKey,
    step: Callable[[Step], dg.MaterializeResult[Any]],
    compute: Compute,
    lineage: dg.TableColumnLineage | None,
) -> Callable[[dg.AssetExecutionContext], dg.MaterializeResult[Any]]:
    def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        failpoint("stage.before_write")
        platform = context.resources.platform.within(compute)
        result = permanent_errors(step)(Step(context, platform, key, lineage, compute))
        failpoint("stage.after_write")
        return result

    # Dagster compares the annotations themselves: a postponed one is a string, and a result beside checks not a tuple.
    run.__annotations__ = {"context": dg.AssetExecutionContext}
    return run
