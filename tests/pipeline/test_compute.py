"""What a stage may use is declared once, and obeyed by its step."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from serving_assets.catalog.compute import ENGINES, Compute
from serving_assets.catalog.discovery import Catalog, load_catalog
from serving_assets.engines.protocol import Limits
from serving_assets.errors import DeclarationError
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.step import Step, stage_asset
from serving_assets.settings import Settings
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import NAME

POD = {"dagster-k8s/config": {"container_config": {"resources": {"requests": {"memory": "8Gi"}}}}}
SPOT = Compute(spot=True, tags=POD)


def _catalog() -> Catalog:
    """The shipped catalog, with compute declared for one stage and one table."""
    catalog = load_catalog(FIXTURE_CATALOG)
    bound, table = catalog.use_cases[NAME], catalog.tables["household_days"]
    spec = bound.spec.model_copy(update={"compute": {"model": SPOT, "online": SPOT}})
    heavy = replace(table, spec=table.spec.model_copy(update={"compute": Compute(engine="duckdb", threads=1)}))
    return replace(
        catalog,
        use_cases={**catalog.use_cases, NAME: replace(bound, spec=spec)},
        tables={**catalog.tables, table.name: heavy},
    )


def test_tags_reach_the_step_and_no_other(tmp_path: Path) -> None:
    """A step carries what is declared for its stage: the scheduler's tags as they are, spot and engine; others none."""
    defs = build_defs(Settings(data_dir=tmp_path), _catalog())
    tags = {key.to_user_string(): dict(defs.resolve_assets_def(key).op.tags) for key in defs.resolve_all_asset_keys()}
    found = {name: {tag for tag in carried if not tag.startswith("dagster/")} for name, carried in tags.items()}
    assert {name: carried for name, carried in found.items() if carried} == {
        f"{NAME}/model": {"dagster-k8s/config", "serving_assets/spot"},
        f"{NAME}/online": {"dagster-k8s/config", "serving_assets/spot"},
        "mapped/household_days": {"serving_assets/engine"},
    }


@pytest.mark.parametrize(
    ("compute", "threads", "memory", "share"),
    [
        (Compute(), 7, "4GB", 1.0),
        (Compute(threads=1), 1, "4GB", 1.0),
        (Compute(memory="1GB", spot=True), 7, "1GB", 0.5),
    ],
    ids=["as-set", "threads", "memory-and-spot"],
)
def test_a_step_works_within_its_bounds(
    tmp_path: Path, compute: Compute, threads: int, memory: str, share: float
) -> None:
    """A step gets an engine as declared, else as the settings say, and pays the price of its machine."""
    settings = Settings(data_dir=tmp_path, engine_threads=7, engine_memory="4GB", price_spot_share=0.5)
    seen: list[tuple[int, str]] = []
    asset = stage_asset(
        dg.AssetKey(["churn", "features"]),
        partial(_work, seen),
        group="features",
        description="",
        owners=["team:crm"],
        kinds=set(),
        compute=compute,
    )
    done = dg.materialize([asset], resources={"platform": Platform(settings, Catalog(tmp_path, {}, {}, {}))})
    assert seen == [(threads, memory)]
    (made,) = done.asset_materializations_for_node("churn__features")
    assert made.metadata["cost"].value == pytest.approx(settings.price_cpu_hour * share)


def _work(seen: list[tuple[int, str]], step: Step) -> dg.MaterializeResult[Any]:
    limits = step.platform.engine.limits
    seen.append((limits.threads, limits.memory))
    return step.result({"cpu_seconds": 3600.0})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"memory": "lots"}, "memory"),
        ({"threads": 0}, "threads"),
        ({"engine": "abacus"}, "engine"),
        ({"tags": {"serving_assets/spot": "true"}}, "another prefix"),
        ({"cores": 4}, "cores"),
    ],
    ids=str,
)
def test_what_cannot_be_obeyed_is_refused(given: dict[str, Any], told: str) -> None:
    """A bound, an engine or a field that is unknown is an error that names it."""
    with pytest.raises(ValidationError, match=told):
        Compute(**given)


def test_a_stage_runs_on_the_engine_that_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine is a folder that can open it and one line that names it; each stage gets its own."""
    opened: list[Limits] = []
    module = ModuleType("serving_assets.engines.abacus.engine")
    monkeypatch.setattr(module, "open_engine", lambda limits: opened.append(limits) or "the abacus", raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "serving_assets.engines.abacus", ModuleType("serving_assets.engines.abacus"))
    monkeypatch.setitem(ENGINES, "abacus", "duckdb")
    platform = Platform(Settings(data_dir=tmp_path, engine_threads=3), Catalog(tmp_path, {}, {}, {}))
    stage = platform.within(Compute(engine="abacus", memory="2GB"))
    assert (stage.engine, [(limits.threads, limits.memory) for limits in opened]) == ("the abacus", [(3, "2GB")])
    assert stage.within(Compute(engine="abacus")) is stage
    assert platform.within(Compute()) is platform
    assert type(platform.engine).__name__ == "DuckDBEngine"


@pytest.mark.parametrize(
    ("engine", "hint"),
    [("abacus", "there is no engine 'abacus': use "), ("far", r"not installed: pip install 'serving-assets\[far\]'")],
)
def test_an_engine_that_is_not_there_stops_the_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, hint: str
) -> None:
    """An engine that is unknown or not installed is an error of the catalog, with the file, the field and the fix."""
    monkeypatch.setitem(ENGINES, "far", "no_such_package")
    file = tmp_path / "domains" / "shop" / "domain.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"from serving_assets.catalog.compute import Compute\n\nHEAVY = Compute(engine={engine!r})\n")
    with pytest.raises(DeclarationError, match=rf"shop/domain\.py:3: Compute: engine: .*{hint}"):
        load_catalog(tmp_path)
