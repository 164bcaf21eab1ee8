"""What a stage refuses to read: days that are missing, and whatever failed a check that gates.

Here: the refusals, as errors of the run. Not here: the checks (checks/). A blocking check stops what is
downstream in its own run only; these refusals hold in every later run, also of a single
stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.errors import InputError, RefusedInput
from serving_assets.lake import DayRange
from serving_assets.pipeline.checks.contract import CONTRACT
from serving_assets.pipeline.checks.rejected import REJECTED_SHARE
from serving_assets.pipeline.checks.typical_amounts import TYPICAL_AMOUNTS
from serving_assets.pipeline.checks.verdict import Check
from serving_assets.pipeline.checks.volume import VOLUME
from serving_assets.pipeline.dagster_instance.check_records import failed_days

TABLE_GATES = {"raw": (REJECTED_SHARE, VOLUME, TYPICAL_AMOUNTS), "mapped": (CONTRACT, VOLUME)}


def refuse_unfit_table(
    instance: dg.DagsterInstance,
    first: date,
    table: Table,
    days: DayRange | None,
    reader: str,
) -> None:
    """Refuse to read a raw or mapped table that lacks days, or holds some that failed a check; `days` None means all.

    `first` is the first day of the table's domain: history begins there.

    Raises:
        InputError: naming the days and the fix.
    """
    asset = dg.AssetKey([table.layer, table.name])
    if days is not None:
        _refuse_gaps(instance, first, asset, days, reader)
    refuse_failed(instance, asset, TABLE_GATES[table.layer], days, reader)


def _refuse_gaps(
    instance: dg.DagsterInstance,
    first: date,
    asset: dg.AssetKey,
    days: DayRange,
    reader: str,
) -> None:
    """A short sum looks like a quiet customer. No day before the first partition is missing: history begins there."""
    have = instance.get_materialized_partitions(asset)
    missing = [day for day in days.days() if day >= first and day.isoformat() not in have]
    if missing:
        raise InputError(
            f"{reader} reads {asset.to_user_string()} from {days.first} to {days.last}; it lacks {_listed(missing)}.",
            hint=f"Materialize them first: serving-assets backfill --from {missing[0]} --to {missing[-1]}.",
        )


def refuse_failed(
    instance: dg.DagsterInstance, asset: dg.AssetKey, gates: Sequence[Check], days: DayRange | None, reader: str
) -> None:
    """Refuse to read partitions of `asset` whose newest materialization failed one of its blocking checks.

    Without partitions, or with `days` None, it is the newest materialization of all that counts.

    Raises:
        InputError: naming the check, the days and the fix.
    """
    for gate in (gate for gate in gates if gate.blocking):
        if unfit := failed_days(instance, asset, gate.name, days):
            where = f" of {_listed(sorted(day for day in unfit if day))}" if days else ""
            raise RefusedInput(
                f"{reader} does not read {asset.to_user_string()}{where}: it failed its check {gate.name}.",
                hint="Fix what the check shows and materialize it again, or change the threshold.",
                cause=f"{asset.to_user_string()}:{gate.name}",
            )


def _listed(days: Sequence[date]) -> str:
    shown = ", ".join(map(str, days[:5])) + (" ..." if len(days) > 5 else "")
    return f"{len(days)} days: {shown}" if len(days) > 1 else shown
