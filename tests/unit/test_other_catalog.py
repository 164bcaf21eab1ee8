"""A team replaces the shipped catalog by its own; the tests of the product stay and pass.

Not here: the tests of the shipped catalog, which leave with it (tests/shipped_catalog/).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.catalog.small_catalog import write_catalog
from tests.unit.test_project import ROOT, tracked_files

QUICK = (
    *("tests/unit/catalog", "tests/pipeline/test_catch_up.py", "tests/pipeline/test_definitions.py"),
    "tests/serving/test_lookup.py",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the small catalog stands in place of the shipped one."""
    root = tmp_path_factory.mktemp("team") / "project"
    for path in tracked_files():
        if not path.is_relative_to(ROOT / "tests" / "shipped_catalog"):
            copy = root / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    catalog = root / "serving_assets" / "catalog"
    for folder in ("domains", "use_cases"):
        shutil.rmtree(catalog / folder)
    write_catalog(catalog)
    return root


def pytest_in(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the copy."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CATALOG_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment["PYTHONPATH"] = str(project)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_every_test_is_found(project: Path) -> None:
    """No test of the product needs the shipped catalog to be collected."""
    done = pytest_in(project, "--collect-only")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.long
def test_the_product_passes_over_another_catalog(project: Path) -> None:
    """The quick tests of declarations, automation, the graph and the API pass as they stand."""
    done = pytest_in(project, "-m", "not workspace and not long", *QUICK)
    assert done.returncode == 0, done.stdout[-3000:]
