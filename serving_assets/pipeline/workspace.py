"""What a command stands on: definitions and the Dagster instance of this workspace.

Here: opening them when first needed. Not here: any command, or what its screen looks like (commands/).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from serving_assets.catalog.discovery import Catalog
from serving_assets.pipeline.build import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import PROJECT


@dataclass(frozen=True)
class Workspace:
    """This process's definitions and instance."""

    @cached_property
    def defs(self) -> dg.Definitions:
        """The Dagster definitions of the settings' catalog."""
        return build_defs()

    @property
    def platform(self) -> Platform:
        """What the stages work with."""
        platform = (self.defs.resources or {})["platform"]
        assert isinstance(platform, Platform)
        return platform

    @property
    def catalog(self) -> Catalog:
        """The declarations."""
        return self.platform.catalog

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance in DAGSTER_HOME, the project's own by default, so that the UI shows what commands ran."""
        os.environ.setdefault("DAGSTER_HOME", str(PROJECT / "dagster_home"))
        logging.getLogger("dagster").setLevel(logging.ERROR)
        return dg.DagsterInstance.get()
