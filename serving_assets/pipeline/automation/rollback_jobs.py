"""Rollback, resume and restore as jobs, for the UI.

Here: the jobs and their configuration. Not here: what they do (pipeline/publishing/rollback.py,
pipeline/publishing/restore.py), or the commands (commands/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from serving_assets.errors import InputError
from serving_assets.pipeline.dagster_instance.step_metadata import permanent_errors
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of, predictions_of
from serving_assets.pipeline.publishing.restore import restore_all
from serving_assets.pipeline.publishing.rollback import RollbackRequest, resume, roll_back

BY = "by"
WHO = {
    BY: dg.Field(str, is_required=False, description="Who decided it; default: the run."),
    "reason": dg.Field(str, is_required=False, description="Why; kept in the activation log."),
}
WHERE_TO = {
    "to": dg.Field(int, is_required=False, description="The generation; default: the one before the active one."),
    "to_date": dg.Field(str, is_required=False, description="YYYY-MM-DD: what readers got at the end of that day."),
}


def decision_jobs(platform: Platform) -> list[dg.JobDefinition]:
    """Return the jobs `rollback`, `resume` and `restore`, each for any use case."""
    names = sorted(platform.catalog.use_cases)
    if not names:
        return []
    which = {"use_case": dg.Field(dg.Enum("UseCase", [dg.EnumValue(name) for name in names]))}
    return [
        _job("rollback", "Give readers an older generation again, and pin it.", which | WHERE_TO | WHO, _roll_back),
        _job("resume", "Let the next publish replace what a rollback has pinned.", which | WHO, _resume),
        _job("restore", "Bring back from the lake what the online store has lost.", which | WHO, _restore),
    ]


def _job(
    name: str, description: str, config: dict[str, dg.Field], act: Callable[[dg.OpExecutionContext], None]
) -> dg.JobDefinition:
    def run(context: dg.OpExecutionContext) -> None:
        permanent_errors(act)(context)

    run.__annotations__ = {"context": dg.OpExecutionContext}
    step = dg.op(name=f"{name}_predictions", config_schema=config, required_resource_keys={"platform"}, out={}, ins={})(
        run
    )

    @dg.job(name=name, description=description)
    def job() -> None:
        step()

    return job


def _roll_back(context: dg.OpExecutionContext) -> None:
    config, collection = context.op_config, _predictions(context)
    done = roll_back(
        context.resources.platform,
        collection,
        RollbackRequest(_who(context), config.get("to"), _day(config.get("to_date")), _reason(context)),
        lambda: context.instance,
    )
    _record(context, collection, asdict(done))


def _resume(context: dg.OpExecutionContext) -> None:
    collection = _predictions(context)
    pin = resume(context.resources.platform, collection, _who(context), lambda: context.instance, _reason(context))
    _record(context, collection, {"was_pinned": pin is not None} | (asdict(pin) if pin else {}))


def _restore(context: dg.OpExecutionContext) -> None:
    platform = context.resources.platform
    use_case = platform.catalog.use_case(context.op_config["use_case"])
    done = restore_all(platform, use_case, _who(context), lambda: context.instance, _reason(context))
    restored = {one.collection: one for one in done}
    for collection in collections_of(use_case):
        if collection.name in restored:
            _record(context, collection, asdict(restored[collection.name]))


def _predictions(context: dg.OpExecutionContext) -> PublishedCollection:
    platform: Platform = context.resources.platform
    return predictions_of(platform.catalog.use_case(context.op_config["use_case"]))


def _who(context: dg.OpExecutionContext) -> str:
    return str(context.op_config.get(BY) or f"run {context.run_id}")


def _reason(context: dg.OpExecutionContext) -> str:
    return str(context.op_config.get("reason", ""))


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InputError(f"to_date is {text!r}.", hint="Write a day as YYYY-MM-DD.") from error


def _record(context: dg.OpExecutionContext, collection: PublishedCollection, facts: dict[str, Any]) -> None:
    """In the log, and on the asset whose readers it concerns."""
    shown = {name: value if isinstance(value, str | int | float) else str(value) for name, value in facts.items()}
    context.log.info(", ".join(f"{name}: {value}" for name, value in shown.items()))
    key = dg.AssetKey([collection.use_case, collection.asset])
    context.log_event(dg.AssetObservation(key, metadata=shown, description=f"{context.job_name}"))
