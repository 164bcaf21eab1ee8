"""The declarations of a team: what it serves, from which data.

Here: sources, mapped tables, domains and use cases, as frozen models that refuse unknown fields. Not here: reading them
from the folders (discovery.py), the SQL they name (sql.py), or anything that runs.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, PositiveInt, model_validator

from serving_assets.catalog.checks import Checks, TableChecks
from serving_assets.catalog.columns import Bounds, Column, Name, Owners, Spec
from serving_assets.catalog.compute import Compute, Stage
from serving_assets.catalog.model import Baseline as Baseline
from serving_assets.catalog.model import Model as Model
from serving_assets.catalog.model import Promotion as Promotion
from serving_assets.catalog.serve import Serve
from serving_assets.catalog.sources import DAY as DAY
from serving_assets.catalog.sources import Csv as Csv
from serving_assets.catalog.sources import Format as Format
from serving_assets.catalog.sources import Source as Source
from serving_assets.catalog.timing import CatchUp as CatchUp
from serving_assets.catalog.timing import Daily as Daily
from serving_assets.catalog.timing import TimeOfDay, TimeZone, deadline_of
from serving_assets.catalog.timing import Weekly as Weekly


class MappedTable(Spec):
    """A table that SQL makes of raw tables and of other mapped tables of its domain.

    A daily one is run for one day or for a range of days at once, so its SQL must carry `day` through and treat days
    apart. `columns` states what is known beyond the type that the SQL yields: descriptions, required columns, bounds.
    """

    name: Name
    description: str
    owners: Owners
    sql: str
    partitioned: Literal["daily", "none"]
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    event_time: str | None = None
    columns: dict[str, Column] = {}
    checks: TableChecks = TableChecks()
    compute: Compute = Compute()


class Domain(Spec):
    """Sources and mapped tables of one area of data, with the calendar their days follow."""

    name: Name
    description: str
    timezone: TimeZone
    first_day: date
    sources: tuple[Source, ...]
    tables: tuple[MappedTable, ...]


class Entity(Spec):
    """Who or what a prediction is about."""

    key: Name
    dtype: Literal["int64", "string"]


class LastDays(Spec):
    """The rows of the last `days` days before `$as_of`, the newest partition included."""

    days: PositiveInt


class NextDays(Spec):
    """The rows of the `days` days from `$as_of` on: what a label may look at, and a feature never."""

    days: PositiveInt


class Current(Spec):
    """The table as it is; where it declares an event time, only its rows before `$as_of`."""


class Features(Spec):
    """The SQL that makes one row per entity, as known at `$as_of`.

    `population` names the input whose distinct entities must all be scored; the coverage check counts against it.
    """

    sql: str
    inputs: dict[str, LastDays | Current]
    population: str
    columns: dict[str, Column] = {}

    @model_validator(mode="after")
    def _population_is_an_input(self) -> Features:
        if self.population not in self.inputs:
            raise ValueError(f"population {self.population!r} is not among inputs ({', '.join(self.inputs)})")
        return self

    @property
    def window_days(self) -> int:
        """The longest look-back among the inputs, in days."""
        return max((window.days for window in self.inputs.values() if isinstance(window, LastDays)), default=1)


class Labels(Spec):
    """The SQL that returns what happened to entities from `$as_of` on.

    It returns the entity key and `column`, one row per entity, 0 or 1. An entity that it does not return has the label
    `default_label`. NULL means that it is not known yet what happened: such rows are left out, and counted, or refused;
    they never count as the default.
    """

    sql: str
    inputs: Annotated[dict[str, NextDays], Field(min_length=1)]
    column: Name = "label"
    default_label: float = Field(0.0, validation_alias=AliasChoices("default_label", "otherwise"))
    null_labels: Literal["leave_out", "refuse"] = "leave_out"

    @property
    def horizon_days(self) -> int:
        """How many days must pass until a label is known."""
        return max(window.days for window in self.inputs.values())


class Predictions(Spec):
    """The scored columns, their legal ranges, and how long a prediction counts.

    `precision` is the number of decimals that are published: a change behind it is no change.
    """

    columns: Annotated[dict[Name, Bounds], Field(min_length=1)]
    precision: Annotated[int, Field(ge=0, le=12)] = 4
    expire_after_days: PositiveInt = 90


class OnlineFeatures(Spec):
    """Features that the store holds for scoring on the fly: per entity the newest row of the newest `days` days.

    `columns` maps each to the number of decimals that are published, None for all of them. Without it every feature is
    there as the batch sees it, so that a request that brings none gets the very score of the batch.
    """

    columns: Annotated[dict[str, Annotated[int, Field(ge=0, le=12)] | None], Field(min_length=1)] | None = None
    days: PositiveInt = 1


class UseCase(Spec):
    """One model in production, from features to published predictions.

    Readers have the predictions of the day before by `deadline`, local time of the schedule; by default an hour after
    the run has stopped waiting for files.
    """

    name: Name
    description: str
    owners: Owners
    entity: Entity
    features: Features
    labels: Labels
    model: Model
    predictions: Predictions
    schedule: Daily
    deadline: TimeOfDay | None = None
    catch_up: CatchUp = CatchUp()
    training_schedule: Weekly
    checks: Checks = Checks()
    online_features: OnlineFeatures | None = None
    serve: Serve = Serve()
    compute: dict[Stage, Compute] = {}

    @model_validator(mode="after")
    def _deadline_after_waiting(self) -> UseCase:
        deadline_of(self.schedule, self.deadline)
        return self

    @model_validator(mode="after")
    def _model_can_be_trained(self) -> UseCase:
        if len(self.predictions.columns) > 1:
            names = ", ".join(self.predictions.columns)
            raise ValueError(f"predictions.columns: a binary model gives one score, not {names}; declare one column")
        if self.labels.default_label not in (0, 1):
            raise ValueError(f"labels.default_label: a binary label is 0 or 1, not {self.labels.default_label:g}")
        if self.model.as_ofs < self.as_ofs_needed:
            raise ValueError(
                f"model.as_ofs: {self.model.as_ofs} leave no day to train on beside {self.model.holdout} held out and "
                f"labels over {self.labels.horizon_days} days; declare {self.as_ofs_needed} or more"
            )
        return self

    @property
    def as_ofs_needed(self) -> int:
        """Fewest as-of days that can be split: those held out, those whose label reaches into them, two to train on."""
        gap = -(-self.labels.horizon_days // self.model.every_days) - 1
        return self.model.holdout + gap + 2

    @property
    def history_days_needed(self) -> int:
        """Fewest days of history that training takes: one window, the as-of days, and the horizon of the last label."""
        steps = (self.as_ofs_needed - 1) * self.model.every_days
        return self.features.window_days + steps + self.labels.horizon_days

    @property
    def due_at(self) -> str:
        """The deadline, declared or derived."""
        return deadline_of(self.schedule, self.deadline)
