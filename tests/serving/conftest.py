"""The fixtures of the API's tests. Not here: how a world is made (world.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_assets.models.bundle import stamp
from serving_assets.models.packaging import package
from serving_assets.models.training import train_candidate
from tests.serving.world import BUYS, NEWCOMER, TOWN, World, write_world
from tests.unit.models import samples

SCORES = {id: {"score": id / 1000} for id in range(1, 501)}
"""What the shared world publishes for buys_again."""


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make_bundles makes, for tests to copy."""
    return make_bundles(tmp_path_factory.mktemp("bundles"))


def make_bundles(root: Path) -> Path:
    """Bundles of two versions of the champion and one of the newcomers' model."""
    for name, version, trainer in ((BUYS, "1", "boosting"), (BUYS, "2", "linear"), (NEWCOMER, "1", "linear")):
        spec = samples.use_case().model_copy(update={"name": name})
        candidate = train_candidate(spec, samples.training_set(), samples.TRAINERS[trainer], resamples=10)
        package(candidate, root / name / version)
        stamp(root / name / version, version)
    return root


def make_world(root: Path, bundles: Path, store: str = "") -> World:
    """A world that nobody serves yet, with something published (to `store`, or else into its folder) and promoted."""
    import shutil

    world = World(root / "data", write_world(root / "catalog"), store=store)
    shutil.copytree(bundles, world.data / "bundles")
    world.promote(BUYS, "1")
    world.promote(NEWCOMER, "1")
    world.collection(BUYS).publish(SCORES)
    world.collection(f"{BUYS}.features").publish({1: {f"f{i}": float(i) for i in range(5)}, 2: {"f0": None, "f1": 1}})
    world.collection(TOWN).publish({"a/b": {"score": 0.5}, "ünï ☃": {"score": 0.25}, "1": {"score": 0.125}})
    return world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[World]:
    """A served world, shared by tests that change nothing in it."""
    with make_world(tmp_path_factory.mktemp("world"), bundles).served() as served:
        yield served


@pytest.fixture
def own_world(tmp_path: Path, bundles: Path) -> World:
    """A world of the test's own, to be served as it likes and changed freely."""
    return make_world(tmp_path, bundles)
