"""Declares what a stage's step may use, and where it runs.

Here: the declaration, with nothing declared by default. Not here: who obeys it (pipeline/stages/step.py bounds the
engine and tags the step; the run launcher or executor reads the tags).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt

from serving_assets.catalog.columns import Spec

Stage = Literal[
    "features", "training_set", "model", "champion", "predictions", "historic", "latest", "online", "online_features"
]
DEFAULT_ENGINE = "duckdb"
ENGINES = {"duckdb": "duckdb"}
"""Every engine that a stage may name, a folder of that name under engines/, and the package that it needs."""
SPOT_TAG, ENGINE_TAG = "serving_assets/spot", "serving_assets/engine"


def _no_names_of_the_platform(tags: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(name for name in tags if name.startswith("serving_assets/")):
        raise ValueError(f"{taken[0]!r} is a name of the platform: choose another prefix")
    return tags


def _engine(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"there is no engine {name!r}: use {' or '.join(sorted(ENGINES))}")
    if find_spec(ENGINES[name]) is None:
        install = f"pip install 'serving-assets[{name}]'"
        raise ValueError(f"the engine {name!r} needs the package {ENGINES[name]!r}, which is not installed: {install}")
    return name


class Compute(Spec):
    """Bounds of a step; None takes the value of the settings.

    `engine` runs the queries of the step and of its checks, and its scorer.

    `threads` and `memory` bound the engine (`memory` such as "8GB"; what is more goes to disk). `spot` means that the
    machine may be taken away, which is harmless, and is paid by the price of such machines. `tags` are handed to
    whatever schedules the step, such as `{"dagster-k8s/config": {...}}`.
    """

    engine: Annotated[str, AfterValidator(_engine)] = DEFAULT_ENGINE
    threads: PositiveInt | None = None
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*(MB|GB|TB)$")] | None = None
    spot: bool = False
    tags: Annotated[dict[str, Any], AfterValidator(_no_names_of_the_platform)] = {}

    def op_tags(self) -> dict[str, Any]:
        """What the step carries; nothing where nothing is declared."""
        declared = self.model_fields_set
        own = {ENGINE_TAG: self.engine} if "engine" in declared else {}
        return {**self.tags, **own, **({SPOT_TAG: "true"} if self.spot else {})}
