"""The examples of docs/api.md, run as they stand against a server of the shipped catalog."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.models.bundle import stamp
from serving_assets.models.packaging import package
from serving_assets.models.training import Train, train_candidate
from serving_assets.settings import PROJECT
from tests.catalogs import FIXTURE_CATALOG
from tests.serving.world import World
from tests.unit.models import samples

NAME, FALLBACK = "purchase_propensity", "basket_propensity"
TEXT = (PROJECT / "docs" / "api.md").read_text()
BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The shipped catalog, with the households of the examples published and a model that takes their features."""
    world = World(tmp_path_factory.mktemp("docs"), FIXTURE_CATALOG)
    world.collection(NAME).publish({733: {"score": 0.6871}, 1: {"score": 0.7638}})
    world.collection(f"{NAME}.features").publish({733: {"shopping_days_91d": 30}})
    rows = samples.training_set()
    numbers = rows.rename_columns({"f0": "days_since_last_purchase", "f1": "shopping_days_91d"})
    fit(world, NAME, numbers, samples.TRAINERS["linear"])
    fallback = load_catalog(world.catalog).use_cases[FALLBACK]
    basket = rows.rename_columns(dict(zip(("f0", "f1", "f2", "f3", "f4", "f5"), fallback.feature_names, strict=True)))
    stores = pa.array(["367", "31"] * (rows.num_rows // 2))
    position = basket.schema.get_field_index("store")
    fit(world, FALLBACK, basket.set_column(position, "store", stores), fallback.train)
    with world.served(fresh=True) as served:  # what it imports is a test's subject
        yield served


def fit(world: World, name: str, rows: pa.Table, train: Train) -> None:
    """Make a model of `rows` the champion of `name`."""
    spec = samples.use_case().model_copy(update={"name": name})
    package(train_candidate(spec, rows, train, resamples=10), world.data / "bundles" / name / "1")
    stamp(world.data / "bundles" / name / "1", "1")
    world.promote(name, "1")


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
