"""What a step costs in money: its measured work by a list of prices.

Here: the list, from the settings, and the formula. Not here: measuring (pipeline/dagster_instance/step_metadata.py), or
adding up a month (pipeline/observing/costs.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving_assets.settings import Settings

COST = "cost"
"""Metadata of a materialization, in the currency of the settings."""
GIB, MIB_OF_A_GIB, SECONDS_OF_AN_HOUR = 1 << 30, 1024, 3600


@dataclass(frozen=True)
class Prices:
    """Money for work.

    Attributes:
        currency: of all prices, as it is shown.
        cpu_hour: of one core for an hour.
        memory_gib_hour: of a GiB held for an hour.
        storage_gib_month: of a GiB in the lake for a month; what a step writes is charged for one.
        spot_share: what is paid on a spot machine, as a share of the price of its work.
    """

    currency: str
    cpu_hour: float
    memory_gib_hour: float
    storage_gib_month: float
    spot_share: float

    @classmethod
    def of(cls, settings: Settings) -> Prices:
        """Return the list that the settings name."""
        return cls(
            settings.price_currency,
            settings.price_cpu_hour,
            settings.price_memory_gib_hour,
            settings.price_storage_gib_month,
            settings.price_spot_share,
        )

    def cost(self, recorded: Mapping[str, Any], *, spot: bool = False) -> float:
        """Return the cost of a materialization by seconds, cpu_seconds, peak_memory_mib and bytes; absent is 0.

        CPU-hours at their price, plus the peak of memory for as long as the step took, plus a month of what it wrote.
        """
        seconds, cpu, peak, size = (
            float(recorded.get(name) or 0) for name in ("seconds", "cpu_seconds", "peak_memory_mib", "bytes")
        )
        memory = peak / MIB_OF_A_GIB * seconds / SECONDS_OF_AN_HOUR
        work = cpu / SECONDS_OF_AN_HOUR * self.cpu_hour + memory * self.memory_gib_hour
        return work * (self.spot_share if spot else 1.0) + size / GIB * self.storage_gib_month
