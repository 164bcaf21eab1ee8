"""What a month has cost: by asset, partition and use case, from what each materialization recorded of itself.

Here: reading the event log and adding up. Not here: the measuring (pipeline/dagster_instance/step_metadata.py), the
prices (pipeline/prices.py), or the screen (commands/costs.py).

Only what was made is counted: a step that failed or was killed has recorded nothing. A step over a range of days
records the same work at each of its days; each day then bears an equal share of it, and its own rows and bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import Catalog
from serving_assets.pipeline.asset_keys import upstream_tables
from serving_assets.pipeline.dagster_instance.events import plain_numbers
from serving_assets.pipeline.prices import COST

PAGE = 1_000
ALL, NOBODY = "all", "nobody"


@dataclass(frozen=True)
class Costs:
    """A sum: CPU-seconds, MiB at the peak, rows and bytes written, money, and of how many materializations."""

    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    rows: float = 0.0
    bytes: float = 0.0
    money: float = 0.0
    made: float = 0.0

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_memory_mib, other.peak_memory_mib),
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.money + other.money,
            self.made + other.made,
        )

    def share(self, of: int) -> Costs:
        """An equal part of it, where `of` bear it together; the peak is everybody's."""
        return Costs(
            self.cpu_seconds / of,
            self.peak_memory_mib,
            self.rows / of,
            self.bytes / of,
            self.money / of,
            self.made / of,
        )


@dataclass(frozen=True)
class Month:
    """What was made in a month, by UTC: `partitions` holds the sums by asset and partition (None without)."""

    first: date
    partitions: dict[tuple[str, str | None], Costs]

    def of_assets(self) -> dict[str, Costs]:
        """By asset, in the order of the alphabet."""
        return _summed((asset, costs) for (asset, _), costs in sorted(self.partitions.items(), key=_by_name))

    def of_use_cases(self, catalog: Catalog) -> dict[str, Costs]:
        """By use case: its own assets, and of the tables that it reads an equal share with the others that do.

        What no use case reads stands under `nobody`; so all together are the whole month.
        """
        readers: dict[str, list[str]] = {}
        for use_case in catalog.use_cases.values():
            for key in upstream_tables(catalog, use_case):
                readers.setdefault(key.to_user_string(), []).append(use_case.name)

        def borne() -> Iterator[tuple[str, Costs]]:
            for asset, costs in self.of_assets().items():
                own = asset.split("/")[0]
                bearers = [own] if own in catalog.use_cases else readers.get(asset, [NOBODY])
                yield from ((bearer, costs.share(len(bearers))) for bearer in bearers)

        return _summed(borne())

    @property
    def total(self) -> Costs:
        """Everything."""
        return sum(self.partitions.values(), Costs())


def month_of(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], first: date) -> Month:
    """What the month that begins with `first` has cost, in UTC."""
    begin = datetime(first.year, first.month, 1, tzinfo=UTC)
    end = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
    found: dict[tuple[str, str | None], Costs] = {}
    for key in assets:
        records = list(_made(instance, key, begin, end))
        together = Counter(record.run_id for record in records)
        for record in records:
            place = (key.to_user_string(), record.partition_key)
            found[place] = found.get(place, Costs()) + _recorded(record, together[record.run_id])
    return Month(begin.date(), found)


def _made(
    instance: dg.DagsterInstance, key: dg.AssetKey, begin: datetime, end: datetime
) -> Iterator[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=key, after_timestamp=begin.timestamp(), before_timestamp=end.timestamp())
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(wanted, limit=PAGE, cursor=cursor)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def _recorded(record: dg.EventLogRecord, together: int) -> Costs:
    """What one materialization bears, of a step that has recorded as many `together`."""
    assert record.asset_materialization is not None
    recorded: dict[str, Any] = plain_numbers(record.asset_materialization)
    return Costs(
        cpu_seconds=recorded.get("cpu_seconds", 0.0) / together,
        peak_memory_mib=recorded.get("peak_memory_mib", 0.0),
        rows=recorded.get("rows", 0),
        bytes=recorded.get("bytes", 0),
        money=recorded.get(COST, 0.0),
        made=1,
    )


def _summed(parts: Iterable[tuple[str, Costs]]) -> dict[str, Costs]:
    sums: dict[str, Costs] = {}
    for name, costs in parts:
        sums[name] = sums.get(name, Costs()) + costs
    return sums


def _by_name(item: tuple[tuple[str, str | None], Costs]) -> tuple[str, str]:
    (asset, partition), _ = item
    return asset, partition or ""


def dearest(month: Month, asset: str | None, most: int) -> Sequence[tuple[str, str | None, Costs]]:
    """Partitions that cost most, of one asset or of all."""
    chosen = ((a, p, costs) for (a, p), costs in month.partitions.items() if asset in (None, a))
    return sorted(chosen, key=lambda found: (-found[2].money, found[0], found[1] or ""))[:most]
