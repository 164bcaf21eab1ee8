"""Declares how a use case's model is trained, measured and promoted.

Here: the days that training looks back from, the baselines, and the conditions of the gate. Not here: the rest of a use
case (spec.py), or the training itself (models/training.py).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from serving_assets.catalog.columns import Name, Share, Spec


def _function(value: str) -> str:
    if not re.fullmatch(r"[\w/]+\.py:[A-Za-z_]\w*", value):
        raise ValueError(f"{value!r} does not name a function: write <file>.py:<function>")
    return value


class Baseline(Spec):
    """A ranking that the model must beat: an SQL expression over the features, higher meaning likelier."""

    name: Name
    expression: str


class Promotion(Spec):
    """What a candidate must show before it becomes champion."""

    beats_baselines: bool = True
    max_loss_vs_champion: Annotated[float, Field(ge=0)] = 0.002
    max_calibration_error: Share = 0.05


class Model(Spec):
    """How the model is trained, measured and promoted.

    Training looks back from `as_ofs` days, `every_days` apart: a step that is no multiple of seven meets every weekday,
    as daily scoring does. The newest `holdout` of them are held out for measuring.
    """

    train: Annotated[str, AfterValidator(_function)]
    task: Literal["binary"] = "binary"
    as_ofs: PositiveInt = 26
    every_days: PositiveInt = 8
    holdout: PositiveInt = 8
    baselines: tuple[Baseline, ...] = ()
    promote_if: Promotion = Promotion()

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Model:
        if self.holdout >= self.as_ofs:
            raise ValueError(f"holdout {self.holdout} leaves nothing of {self.as_ofs} as_ofs to train on; lower it")
        return self
