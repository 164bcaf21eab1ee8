"""The examples of docs/api.md, run as they stand against a server of the shipped catalog."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_assets.models.bundle import stamp
from serving_assets.models.packaging import package
from serving_assets.models.signature import Signature
from serving_assets.models.training import train_candidate
from serving_assets.settings import PROJECT
from tests.serving.world import World
from tests.unit.models import samples

NAME = "purchase_propensity"
TEXT = (PROJECT / "docs" / "api.md").read_text()
BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The shipped catalog, with the households of the examples published and a model that takes their features."""
    world = World(tmp_path_factory.mktemp("docs"), PROJECT / "serving_assets" / "catalog")
    world.collection(NAME).publish({733: {"score": 0.6871}, 1: {"score": 0.7638}})
    rows = samples.training_set().rename_columns({"f0": "days_since_last_purchase", "f1": "shopping_days_91d"})
    spec = samples.use_case().model_copy(update={"name": NAME})
    candidate = train_candidate(spec, rows, samples.TRAINERS["linear"], resamples=10)
    assert isinstance(candidate.signature, Signature)
    package(candidate, world.data / "bundles" / NAME / "1")
    stamp(world.data / "bundles" / NAME / "1", "1")
    world.promote(NAME, "1")
    with world.served() as served:
        yield served


@pytest.mark.parametrize("command", re.findall(r"^(curl .*?[^\\])$", TEXT, flags=re.M | re.S))
def test_every_curl_line_answers(shipped: World, command: str) -> None:
    """A command of the documentation, copied as it is, gets a prediction."""
    done = subprocess.run(
        command.replace(BASE, f"http://127.0.0.1:{shipped.port}"), shell=True, capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["use_case"] == NAME
    assert answer["model_version"]


@pytest.mark.parametrize("program", re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.M | re.S))
def test_every_python_example_runs(shipped: World, program: str) -> None:
    """A program of the documentation, copied as it is, prints predictions."""
    program = program.replace(BASE, f"http://127.0.0.1:{shipped.port}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "733 found {'score': 0.6871}"


def test_the_documented_answer_has_the_real_members(shipped: World) -> None:
    """The answer shown has exactly the members that the server gives."""
    shown = json.loads(re.findall(r"^```json\n(.*?)^```", TEXT, flags=re.M | re.S)[0])
    assert shown.keys() == shipped.look_up(NAME, 733).json.keys()


def test_settings_are_documented() -> None:
    """Every setting of the API stands in the table."""
    settings = Path(PROJECT / "serving_assets" / "settings.py").read_text()
    names = re.findall(r"^    (api_\w+): ", settings, flags=re.M)
    assert [name for name in names if f"`{name.upper()}`" not in TEXT] == []


def test_a_running_server_is_light(shipped: World) -> None:
    """The server imports neither Dagster nor MLflow, sklearn or pandas."""
    assert shipped.process is not None
    maps = Path(f"/proc/{shipped.process.pid}/maps").read_text()
    assert [name for name in ("/sklearn/", "/pandas/", "/duckdb", "/sqlalchemy/") if name in maps] == []
