"""`show`: the published prediction of one entity, through the reader's path.

Here: the look-up and its screen. Not here: the store.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from rich.table import Table

from serving_assets.catalog.spec import Entity, UseCase
from serving_assets.catalog.timing import has_expired
from serving_assets.commands.screen import console
from serving_assets.errors import InputError
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.publishing.activation_log import ActivationLog, refuse_lost
from serving_assets.pipeline.publishing.published_documents import predictions_of
from serving_assets.store import Found, read


def entity_id(entity: Entity, text: str) -> int | str:
    """The id in the entity's own type.

    Raises:
        InputError: when `text` is not one.
    """
    if entity.dtype == "string":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a {entity.key}.", hint="It is a whole number, such as 1.") from error


def look_up(workspace: Workspace, use_case: str, texts: list[str]) -> list[Found | None]:
    """The published predictions of some entities, all of one generation, None where there is none.

    Raises:
        InputError: when nothing of the use case was ever published, or an id has the wrong type.
        StoreError: when the store has lost what was published.
    """
    bound = workspace.catalog.use_case(use_case)
    platform, collection = workspace.platform, predictions_of(bound)
    reading = read(platform.store, collection.name, [entity_id(bound.spec.entity, text) for text in texts])
    refuse_lost(collection, reading.control, ActivationLog(platform, collection).entries(reading.control))
    return reading.values


def absence(spec: UseCase, found: Found | None, text: str) -> str | None:
    """Why there is nothing to show, by the rule of the API: unknown or expired; None when there is a prediction."""
    days = spec.predictions.expire_after_days
    if found is None:
        return f"{spec.name} has no prediction for {text}."
    if has_expired(datetime.fromisoformat(found.as_of).timestamp(), days, time.time()):
        return f"The prediction of {spec.name} for {text} has expired: it is of {found.as_of}, over {days} days ago."
    return None


def as_record(found: Found) -> dict[str, Any]:
    """A published prediction in plain values."""
    return {
        "entity": found.entity,
        **found.value,
        "as_of": found.as_of,
        "model_version": found.model_version,
        "generation": found.generation,
    }


def print_predictions(found: list[Found], key: str) -> None:
    """A table of published predictions."""
    table = Table(key, *found[0].value, "as of", "model", "generation", box=None, header_style="bold")
    for one in found:
        values = [f"{value}" for value in one.value.values()]
        table.add_row(str(one.entity), *values, one.as_of, one.model_version, str(one.generation))
    console.print(table)
