"""The catalog that the tests of the product declare is the shipped one, as long as that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving_assets.settings import PROJECT
from tests.catalogs import FIXTURE_CATALOG

SHIPPED = PROJECT / "serving_assets" / "catalog"


@pytest.mark.parametrize("folder", ["domains", "use_cases"])
def test_the_shipped_declarations_are_those_that_the_tests_run(folder: str) -> None:
    """What the pipeline's tests prove holds for what is shipped: the files are equal, byte for byte."""
    assert files(SHIPPED / folder) == files(FIXTURE_CATALOG / folder)


def files(folder: Path) -> dict[str, bytes]:
    """Every file by its name."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
