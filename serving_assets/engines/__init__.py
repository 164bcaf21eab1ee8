"""Run SQL and score: table in, table out, streaming, so that memory is bounded by a setting and not by a table.

Here: the interface of an engine (protocol.py), one folder for each engine, and what every engine shares. Not here: what
is run (catalog/), when (pipeline/), or how a table is kept (lake/).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving_assets.engines.protocol import Engine, Limits


def open_engine(name: str, limits: Limits) -> Engine:
    """The engine of the folder `name`, whose module `engine` has a function of this name; nothing is started yet."""
    engine: Engine = import_module(f"{__name__}.{name}.engine").open_engine(limits)
    return engine
