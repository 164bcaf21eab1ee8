"""Checks that fit every catalog: what any mapped table and any features must keep, whatever they mean.

Here: made-up rows of the sources, mapped and combined as in production, and what must hold of the result. Not here:
whether the numbers are right, which only tests of the SQL's own meaning can say (sql.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from serving_assets.catalog.discovery import BoundUseCase, Catalog, Table, load_catalog
from serving_assets.catalog.spec import DAY, LastDays
from serving_assets.settings import get_settings
from serving_assets.testing.rows import made_up
from serving_assets.testing.sql import features, mapped

NEWEST = date(2017, 11, 6)
"""The day after a change of the clocks in the United States, eight days after Europe's."""
DAYS = [NEWEST - timedelta(days=age) for age in range(9, -1, -1)]
SEED, OTHER_SEED = 1, 2

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class GenericCheck:
    """One check of one table or use case; calling it raises an AssertionError that says what differs."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Run it."""
        self.run()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _World:
    """A catalog, and the rows of those of its sources that are not made up."""

    catalog: Catalog
    given: Rows

    def inputs(self, names: Iterable[str], seed: int = SEED) -> dict[str, Sequence[Mapping[str, Any]]]:
        """Rows of some tables: of sources as given or made up, of mapped tables from such."""
        return {name: self._rows(self.catalog.tables[name], seed) for name in names}

    def mapped(self, table: Table, rows: Rows | None = None) -> list[dict[str, Any]]:
        """A mapped table over `rows` of its inputs, by default all of them."""
        return mapped(table.name, self.inputs(table.inputs) if rows is None else rows, catalog=self.catalog)

    def features(self, use_case: BoundUseCase, rows: Rows | None = None, day: date = NEWEST) -> list[dict[str, Any]]:
        """Features of a day over `rows` of their inputs, by default all of them."""
        found = self.inputs(use_case.spec.features.inputs) if rows is None else rows
        return features(use_case.name, found, as_of=day, catalog=self.catalog)

    def _rows(self, table: Table, seed: int) -> Sequence[Mapping[str, Any]]:
        if table.name in self.given:
            return self.given[table.name]
        if table.statement is None:
            return made_up(table, DAYS, seed)
        return mapped(table.name, self.inputs(table.inputs, seed), catalog=self.catalog)


def generic_checks(catalog: Catalog | None = None, rows: Rows | None = None) -> list[GenericCheck]:
    """The checks of every mapped table and use case of `catalog`, by default of CATALOG_DIR's; for `parametrize`.

    Rows of sources are made up from their contracts, of ten days around NEWEST. Where the SQL expects more than the
    contract says, such as a code in a text, give that table's rows in `rows`.

    A mapped table: the same rows in any order give the same table; a range of days gives what its days give; its key
    is there and unique. Features: the same twice; the entity key is there and unique; what happens after `as_of`
    changes nothing.

    Raises:
        DeclarationError: the catalog is broken.
    """
    catalog = catalog or load_catalog(get_settings().catalog_dir)
    world = _World(catalog, rows or {})
    return [*_table_checks(world), *_feature_checks(world)]


def _table_checks(world: _World) -> Iterator[GenericCheck]:
    for table in world.catalog.tables.values():
        if table.statement is None:
            continue
        for check in (_same_in_any_order, _range_is_its_days, _table_key):
            if table.daily or check is not _range_is_its_days:
                yield GenericCheck(f"{table.name}:{check.__name__.strip('_')}", partial(check, world, table))


def _feature_checks(world: _World) -> Iterator[GenericCheck]:
    for use_case in world.catalog.use_cases.values():
        for check in (_same_twice, _entity_key, _point_in_time):
            yield GenericCheck(f"{use_case.name}:{check.__name__.strip('_')}", partial(check, world, use_case))


def _same_in_any_order(world: _World, table: Table) -> None:
    turned = {name: list(reversed(of_table)) for name, of_table in world.inputs(table.inputs).items()}
    _equal(world.mapped(table), world.mapped(table, turned), table.name)


def _range_is_its_days(world: _World, table: Table) -> None:
    rows = world.inputs(table.inputs)
    by_day = []
    for day in DAYS:
        by_day += world.mapped(
            table,
            {
                name: [row for row in of_table if not world.catalog.tables[name].daily or row[DAY] == day]
                for name, of_table in rows.items()
            },
        )
    _equal(_sorted(world.mapped(table)), _sorted(by_day), table.name)


def _table_key(world: _World, table: Table) -> None:
    key = (DAY, *table.spec.key) if table.daily and DAY not in table.spec.key else table.spec.key
    _unique(world.mapped(table), key, table.name)


def _same_twice(world: _World, use_case: BoundUseCase) -> None:
    _equal(world.features(use_case), world.features(use_case), use_case.name)


def _entity_key(world: _World, use_case: BoundUseCase) -> None:
    _unique(world.features(use_case), (use_case.spec.entity.key,), use_case.name)


def _point_in_time(world: _World, use_case: BoundUseCase) -> None:
    """Two futures that differ from the day after `as_of` on give the same features."""
    as_of, inputs = DAYS[-4], use_case.spec.features.inputs
    past, other = world.inputs(inputs), world.inputs(inputs, OTHER_SEED)
    changed = {
        name: [*(row for row in past[name] if row[DAY] <= as_of), *(row for row in other[name] if row[DAY] > as_of)]
        if isinstance(inputs[name], LastDays)
        else past[name]
        for name in past
    }
    first, second = (world.features(use_case, rows, as_of) for rows in (past, changed))
    _equal(first, second, use_case.name)


def _unique(rows: Sequence[Mapping[str, Any]], key: Sequence[str], name: str) -> None:
    keys = [tuple(row[column] for column in key) for row in rows]
    empty = [each for each in keys if None in each]
    assert not empty, f"{name}: {len(empty)} of {len(keys)} rows lack a value of the key {', '.join(key)}"
    twice = sorted({each for each in keys if keys.count(each) > 1})
    assert not twice, f"{name}: {len(twice)} values of the key {', '.join(key)} come more than once, such as {twice[0]}"


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: [(value is None, str(value)) for value in row.values()])


def _equal(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], name: str) -> None:
    assert len(first) == len(second), f"{name}: {len(first)} rows, then {len(second)}"
    for one, other in zip(first, second, strict=True):
        different = [column for column in one if not _alike(one[column], other[column])]
        assert not different, f"{name}: {different[0]} is {one[different[0]]!r}, then {other[different[0]]!r}"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)
