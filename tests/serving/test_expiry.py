"""One rule of when a prediction counts no longer: in a look-up, in a batch, and in the command `show`."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from serving_assets.catalog.discovery import load_catalog
from serving_assets.catalog.timing import SECONDS_OF_A_DAY, has_expired
from serving_assets.cli import app
from serving_assets.commands.show import absence
from serving_assets.settings import get_settings
from serving_assets.store import open_store, read, scan
from tests.serving.world import TOWN, World

ID = "a"


@pytest.mark.parametrize(("seconds", "expired"), [(-1, False), (0, False), (1, True)])
def test_a_prediction_counts_to_the_last_second_of_its_days(seconds: int, expired: bool) -> None:
    """A prediction of exactly its days still counts, one second more and it does not."""
    now = time.time()
    assert has_expired(now - 90 * SECONDS_OF_A_DAY - seconds, 90, now) == expired


def test_show_and_the_api_agree(own_world: World) -> None:
    """Whatever the API answers as found, not found or expired, `show` shows or refuses, with the reason."""
    spec = load_catalog(own_world.catalog).use_case(TOWN).spec
    days = spec.predictions.expire_after_days
    town = own_world.collection(TOWN)
    with own_world.served() as world, open_store(town.uri) as store:
        town.documents = dict(scan(store, TOWN))
        for age, status in ((0.5, 200), (days - 0.01, 200), (days + 0.01, 404), (days + 30, 404)):
            generation = town.publish({ID: {"score": 0.5}}, days_old=age)
            deadline = time.monotonic() + 30
            while world.get(f"/v1/use-cases/{TOWN}").json["generation"] != generation:
                assert time.monotonic() < deadline
            answer = world.look_up(TOWN, ID)
            (item,) = world.batch(TOWN, [ID]).json["items"]
            (found,) = read(store, TOWN, [ID]).values
            reason = absence(spec, found, ID)
            assert answer.status == status
            assert item["status"] == ("found" if status == 200 else "expired")
            assert (reason is None) == (status == 200)
            if status == 404:
                assert answer.json["type"] == "/docs/problems#expired"
                assert "has expired" in str(reason)
        assert world.look_up(TOWN, "nobody").json["type"] == "/docs/problems#not-found"
        assert "no prediction for nobody" in str(absence(spec, None, "nobody"))


def test_the_command_refuses_what_has_expired(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`show` prints a prediction that counts, exit 0; of an expired one it prints the reason, exit 1."""
    monkeypatch.setenv("DATA_DIR", str(own_world.data))
    monkeypatch.setenv("CATALOG_DIR", str(own_world.catalog))
    monkeypatch.setenv("DAGSTER_HOME", str(own_world.data))
    for days_old, code, text in ((0.5, 0, "0.75"), (1000.0, 1, "has expired")):
        with open_store(own_world.collection(TOWN).uri) as store:
            town = own_world.collection(TOWN)
            town.documents = dict(scan(store, TOWN))
        town.publish({ID: {"score": 0.75}}, days_old=days_old)
        get_settings.cache_clear()
        shown = CliRunner().invoke(app, ["show", TOWN, ID])
        as_json = CliRunner().invoke(app, ["show", TOWN, ID, "--json"])
        assert (shown.exit_code, text in shown.output) == (code, True), shown.output
        assert (as_json.exit_code, as_json.output.strip() == "null") == (code, bool(code))
    get_settings.cache_clear()
