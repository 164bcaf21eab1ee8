"""What every test stands on: which skips are allowed, how hypothesis searches, and whose data they never touch.

Not here: fixtures; they live in the conftest.py of the folder that needs them. How long a test may take: time_limit.py.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from serving_assets.settings import Settings
from tests.catalogs import FIXTURE_CATALOG

TESTS = Path(__file__).resolve().parent
MEMORY = "/dev/shm"
WORKSPACES = frozenset({"built", "world", "own_world", "mongodb_uri", "mongodb_database", "year"})
"""The fixtures that build, serve or store one."""
PROCESSES = ("e2e", "faults", "kept", "pipeline", "serving", "shipped_catalog")
"""The folders whose tests stand on processes, servers, workspaces, and the whole year of the demo."""
IN_MEMORY = (
    "test_catch_up.py",
    "test_definitions.py",
    "test_fake_instance.py",
    "test_runbooks.py",
    "test_schedules.py",
)
"""The files among them whose tests run nothing, but for those that ask for a fixture above."""
ROOM = 8 * 2**30
"""More than all tests together leave behind, with the passed ones' folders removed."""

pytest_plugins = ["pytester", "tests.mongo_server", "tests.time_limit"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips`, which CI turns on by its environment."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test that is marked must_run fails")


def pytest_configure(config: pytest.Config) -> None:
    """Hide a developer's own data and Dagster instance, and the deadlines that a busy machine would miss."""
    environment = pytest.MonkeyPatch()
    config.add_cleanup(environment.undo)
    for name in ("DAGSTER_HOME", *(field.upper() for field in Settings.model_fields)):
        environment.delenv(name, raising=False)
    if memory := _memory():
        environment.setenv("TMPDIR", memory)
        environment.setattr(tempfile, "tempdir", None)
    scratch = tempfile.TemporaryDirectory(prefix="serving-assets-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(scratch.cleanup)
    environment.setenv("DATA_DIR", scratch.name)
    environment.setenv("CATALOG_DIR", str(FIXTURE_CATALOG))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # the workers fill the cores; threads that wait spin
        environment.setenv(name, "1")
    hypothesis.settings.register_profile("serving_assets", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("serving_assets")


@pytest.hookimpl(tryfirst=True)  # before marks are selected by
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make check` leaves out: by what they ask for and where they are, not by hand."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        runs = folder in PROCESSES and item.path.name not in IN_MEMORY
        if runs or WORKSPACES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("workspace")


def _memory() -> str:
    """A folder in memory for everything temporary, where there is one with room and no other is chosen.

    A disk confirms a write in 10 ms, a workspace's SQLite databases ask for thousands; a killed process loses as much
    in memory as on a disk, which is nothing.
    """
    chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP", "PYTEST_DEBUG_TEMPROOT"))
    if chosen or not os.access(MEMORY, os.W_OK):
        return ""
    return MEMORY if shutil.disk_usage(MEMORY).free >= ROOM else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test marked must_run into a failure."""
    report = yield
    expected_to_fail = hasattr(report, "wasxfail")
    if report.skipped and not expected_to_fail and item.get_closest_marker("must_run") and _no_skips(item.config):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure, because it hides whether a must_run test stands in it."""
    report = yield
    if report.skipped and _no_skips(collector.config):
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"This must run here, but: {reason}"


def _no_skips(config: pytest.Config) -> bool:
    return bool(config.getoption("--no-skips")) or os.environ.get("CI", "").lower() in {"1", "true"}
