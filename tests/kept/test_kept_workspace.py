"""A workspace that earlier code made: what it stores means to this code what it meant then, and life goes on in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from serving_assets.local_runner.run_assets import run_assets
from serving_assets.local_runner.workspace import Workspace
from serving_assets.models.lifecycle.registry import Registry
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.observing.alert_sensor import look
from serving_assets.store import scan
from tests.kept.asking import command
from tests.kept.facts import KEY, NAME, RENAMED, SECTIONS, read
from tests.kept.open_workspace import expected, opened, unpack
from tests.kept.plain import differences, renamed


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace, at the moment at which it was described. Tests must not change it."""
    with opened(unpack(tmp_path_factory.mktemp("kept")), expected()["known"]["read_at"]) as found:
        yield found


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_stored_is_read_as_it_was_meant(workspace: Workspace, section: str) -> None:
    """Each part of a workspace that version 0.1.0 left behind is read as that version read it."""
    then = renamed(expected()[section], RENAMED)
    assert differences(then, read(section, workspace, expected()["known"])) == []


def test_names_that_changed_are_in_the_changelog() -> None:
    """A member of what programs read has a new name only where the changelog says so."""
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name, new in RENAMED.items() if f"`{name}` is `{new}`" not in changelog] == []


def test_a_bundle_is_fetched_again(workspace: Workspace, tmp_path: Path) -> None:
    """The registry's artifacts are found where the workspace lies now, and are the bundle that serves."""
    own = workspace.platform.registry
    version = own.serving_champion(NAME)
    fetched = Registry(own.tracking_uri, own.artifact_root, tmp_path).bundle(NAME, version)
    serving = own.bundle(NAME, version)
    assert {file.name: file.read_bytes() for file in fetched.path.iterdir()} == {
        file.name: file.read_bytes() for file in serving.path.iterdir()
    }


def test_life_goes_on(tmp_path: Path) -> None:
    """The next day is caught up, published as a new generation without the erased person, and rolled back again."""
    known, before = expected()["known"], expected()["online"][NAME]
    with opened(unpack(tmp_path), known["read_at"]) as workspace:
        platform = workspace.platform
        assert command("resume", NAME)[1]["was_pinned"] == before["control"]["pinned"]
        request = _catch_up(workspace)
        assert (request.partition_key, (request.run_key or "")[-2:]) == (known["newest"], ":1")
        outcome = run_assets(
            workspace.defs,
            workspace.instance,
            request.asset_selection or (),
            days_of(request.tags),
            tags=request.tags,
        )
        assert outcome.success, outcome.failures
        control = platform.store.control(NAME)
        assert control is not None
        assert control.active == before["control"]["taken"] + 1
        rows = f"SELECT count(*) AS n FROM t WHERE {KEY} = {known['erased']}"
        for table in ("raw/transactions", f"{NAME}/latest"):
            assert command("rows", table, "--sql", rows) == (0, [{"n": 0}])
        _, told = command("rollback", NAME)
        assert (told["generation"], told["how"], told["equal"]) == (
            before["control"]["published"]["number"],
            "one write",
            True,
        )
        assert sorted(map(list, scan(platform.store, NAME))) == before["documents"]
        look(
            workspace.instance,
            platform,
            workspace.defs.resolve_asset_graph(),
            datetime.now(UTC) + timedelta(seconds=10),
        )
        assert "step_failed" not in [one["kind"] for one in command("alerts")[1]["incidents"]]


def _catch_up(workspace: Workspace) -> dg.RunRequest:
    """What the sensor that catches up asks for first."""
    repository, name = workspace.defs.get_repository_def(), f"{NAME}_catch_up"
    with dg.build_sensor_context(workspace.instance, repository_def=repository, sensor_name=name) as context:
        found = repository.get_sensor_def(name).evaluate_tick(context).run_requests
    assert found
    return found[0]
