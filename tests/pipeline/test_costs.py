"""What things cost: nothing is counted twice, nothing is lost between the sums, and prices are what the settings say.

Not here: whether a step measures itself rightly (test_metadata.py).
"""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from serving_assets.pipeline.observing.costs import Costs, Month, dearest, month_of
from serving_assets.pipeline.prices import GIB, Prices
from serving_assets.settings import Settings
from tests.pipeline.slice import DAY, DAYS, NAME, Bench

PRICES = Prices("EUR", cpu_hour=0.04, memory_gib_hour=0.005, storage_gib_month=0.023, spot_share=0.5)


@pytest.mark.parametrize(
    ("told", "spot", "money"),
    [
        ({"cpu_seconds": 3600}, False, 0.04),
        ({"cpu_seconds": 3600}, True, 0.02),
        ({"peak_memory_mib": 2048, "seconds": 1800}, False, 0.005),
        ({"bytes": 2 * GIB}, False, 0.046),
        ({"bytes": 2 * GIB}, True, 0.046),
        ({"cpu_seconds": 7200, "peak_memory_mib": 1024, "seconds": 3600, "bytes": GIB, "rows": 7}, False, 0.108),
        ({"rows": 1_000_000, "bytes": None}, False, 0.0),
    ],
    ids=str,
)
def test_work_is_charged_by_the_list(told: dict[str, float | None], spot: bool, money: float) -> None:
    """CPU, memory for as long as it took, and a month of storage; a spot machine makes work cheaper, not storage."""
    assert PRICES.cost(told, spot=spot) == pytest.approx(money)


def test_prices_are_settings() -> None:
    """Each price of the list is the setting of its name."""
    given = {"currency": "USD", "cpu_hour": 1.0, "memory_gib_hour": 2.0, "storage_gib_month": 3.0, "spot_share": 0.1}
    settings = Settings.model_validate({f"price_{name}": value for name, value in given.items()})
    assert Prices.of(settings) == Prices(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def month(built: Bench) -> Month:
    """The month in which the slice was built."""
    event = built.instance.get_latest_materialization_event(built.asset("online"))
    assert event is not None
    return month_of(built.instance, built.defs.resolve_asset_graph().get_all_asset_keys(), _day(event.timestamp))


def test_days_of_a_range_bear_its_work_in_equal_shares(built: Bench, month: Month) -> None:
    """The days of one step add up to its CPU-seconds and its cost, and each has its own rows."""
    records = built.instance.fetch_materializations(dg.AssetKey(["raw", "transactions"]), limit=1_000).records
    steps = {r.run_id: r.asset_materialization for r in records if r.asset_materialization is not None}
    work = [_plain(made)["cpu_seconds"] for made in steps.values()]
    assert len(records) == len(DAYS) > len(steps)
    of_days = {day: spent for (asset, day), spent in month.partitions.items() if asset == "raw/transactions"}
    assert set(of_days) == {str(day) for day in DAYS.days()}
    assert sum(spent.cpu_seconds for spent in of_days.values()) == pytest.approx(sum(work))
    assert sum(spent.rows for spent in of_days.values()) == built.platform.lake.table("raw/transactions").scan().rows()
    prices = Prices.of(built.settings)
    whole = sum(prices.cost(_plain(made)) - prices.cost({"bytes": _plain(made)["bytes"]}) for made in steps.values())
    stored = prices.cost({"bytes": sum(spent.bytes for spent in of_days.values())})
    assert sum(spent.money for spent in of_days.values()) == pytest.approx(whole + stored, abs=1e-6)


def test_all_sums_are_the_same_month(built: Bench, month: Month) -> None:
    """Use cases, assets and partitions are three ways to cut the same whole; a shared table is shared."""
    for cut in (month.of_use_cases(built.catalog), month.of_assets(), month.partitions):
        assert astuple(sum(cut.values(), Costs())) == pytest.approx(astuple(month.total))
    by_use_case = month.of_use_cases(built.catalog)
    own = sum((spent for asset, spent in month.of_assets().items() if asset.startswith(NAME)), Costs())
    assert own.money < by_use_case[NAME].money < month.total.money
    assert month.of_assets()[f"{NAME}/model"].cpu_seconds > 0


def test_other_months_are_not_counted(built: Bench, month: Month) -> None:
    """A month begins with its first instant, in UTC, and ends with its last."""
    keys = [built.asset("features")]
    assert month_of(built.instance, keys, date(month.first.year - 1, 12, 1)).partitions == {}
    assert month_of(built.instance, keys, date(month.first.year + 1, 1, 31)).partitions == {}


def test_the_dearest_come_first(month: Month) -> None:
    """Partitions are listed by what they cost, of one asset or of all."""
    money = [spent.money for _, _, spent in dearest(month, None, 5)]
    assert len(money) == 5
    assert money == sorted((spent.money for spent in month.partitions.values()), reverse=True)[:5]
    assert [(asset, day) for asset, day, _ in dearest(month, f"{NAME}/features", 5)] == [(f"{NAME}/features", str(DAY))]


def _plain(made: dg.AssetMaterialization) -> dict[str, float]:
    numbers = ("seconds", "cpu_seconds", "peak_memory_mib", "bytes")
    return {name: float(str(made.metadata[name].value)) for name in numbers}


def _day(timestamp: float) -> date:
    return datetime.fromtimestamp(timestamp, UTC).date()
