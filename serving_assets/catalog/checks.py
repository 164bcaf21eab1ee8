"""The thresholds of the checks; every one has a default.

Here: the thresholds. Not here: what the numbers they are compared with mean (monitoring/), or when a check runs and
what it then stops (pipeline/checks/).
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AliasChoices, Field, PositiveInt, model_validator

from serving_assets.catalog.columns import Share, Spec

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=1, allow_inf_nan=False)]

_LOWER_IS_WORSE = frozenset({"coverage"})


class TableChecks(Spec):
    """Thresholds of the checks on a source or a mapped table.

    A volume is compared with those of the `volume_days` days before. It warns beyond `volume_z_warn` usual standard
    deviations, and is an error beyond `volume_z` wide ones (monitoring/volume.py), where `volume_*` are shares of the
    rows that are missing, `rise_*` shares by which there are too many. `total_*` are shares that a column's total has
    lost beyond the rows that are missing; `level_*` are factors between the typical amount of a column and that of
    earlier days: both look `amount_days` days back. `lag_*` are days since the end of the newest partition.
    """

    volume_days: Annotated[int, Field(ge=7)] = 56
    volume_z_warn: Positive = 2.5
    volume_z: Positive = 3.0
    volume_warn: Share = 0.25
    volume_error: Share = 0.45
    rise_warn: Positive = 0.5
    rise_error: Positive = 1.0
    amount_days: Annotated[int, Field(ge=7)] = 28
    total_warn: Share = 0.85
    total_error: Share = 0.95
    level_warn: Factor = 3.0
    level_error: Factor = 10.0
    lag_warn: Positive = 1.25
    lag_error: Positive = 2.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for error in (name for name in type(self).model_fields if name.endswith("_error")):
            name = error.removesuffix("_error")
            low, high = getattr(self, f"{name}_warn"), getattr(self, error)
            if (low < high) if name in _LOWER_IS_WORSE else (low > high):
                raise ValueError(f"{name}_warn {low:g} would warn of less than {error} {high:g} fails; swap them")
        return self


class Checks(TableChecks):
    """Thresholds of a use case's checks.

    `coverage_*` are shares of the population; `null_*` points by which a feature is emptier or fuller than in the
    training set; `psi_*` and `shift_warn` sizes of a drift (see monitoring/drift.py), of which only significant ones
    count, at `drift_alpha` for all columns of a table together; `quality_*` points of AUC, or of calibration error,
    that may be lost against the held-out days; `segments` names the parts by which quality is shown: SQL expressions
    over the features; `read_back_entities` is how many published documents are compared with the lake.
    """

    coverage_warn: Share = 0.995
    coverage_error: Share = 0.97
    null_warn: Share = 0.05
    null_error: Share = 0.20
    psi_warn: Positive = 0.1
    psi_error: Positive = 0.25
    shift_warn: Positive = 0.1
    drift_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    quality_warn: Share = 0.02
    quality_error: Share = 0.05
    segments: dict[str, str] = {}
    read_back_entities: PositiveInt = Field(20, validation_alias=AliasChoices("read_back_entities", "canary_entities"))
