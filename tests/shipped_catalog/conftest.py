"""The real year, landed once for the tests that only read it.

Not here: landing zones that a test writes to; each of those has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from serving_assets.demo import NEWEST_DAY, LandedFiles, land


@dataclass(frozen=True)
class Year:
    """The landing zone with all of 2017, and what landing it reported."""

    landing: Path
    landed: LandedFiles


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    """All days at their original dates."""
    landing = tmp_path_factory.mktemp("year")
    return Year(landing, land(landing, ending=NEWEST_DAY))
