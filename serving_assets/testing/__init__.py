"""Tests of a team's own SQL, in a few lines, through the code that runs in production.

Here: `features`, `labels` and `mapped` over rows that a test writes down, and checks that fit any catalog
(`generic_checks`). Not here: the catalog's loading (`serving-assets validate`), or the project's own tests.
"""

from __future__ import annotations

from serving_assets.testing.checks import GenericCheck, generic_checks
from serving_assets.testing.sql import features, labels, mapped

__all__ = ["GenericCheck", "features", "generic_checks", "labels", "mapped"]
