"""Plain values: how they are written down, and in what they differ.

Here: nothing that knows the project.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pyarrow as pa


def differences(then: Any, now: Any, place: str = "") -> list[str]:
    """Where what is read now is not what was read then; more members of an object are no difference."""
    if isinstance(then, dict) and isinstance(now, dict):
        lost = [f"{place}/{name} is gone" for name in then if name not in now]
        return lost + [
            told for name in then if name in now for told in differences(then[name], now[name], f"{place}/{name}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [told for index, (old, new) in pairs for told in differences(old, new, f"{place}/{index}")]
    return [] if then == now else [f"{place}: {then!r} is now {now!r}"]


def without(value: Any, names: Collection[str]) -> Any:
    """The same without the members of these names, wherever they stand."""
    if isinstance(value, dict):
        return {name: without(member, names) for name, member in value.items() if name not in names}
    return [without(member, names) for member in value] if isinstance(value, list) else value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same with members under their later names, wherever they stand."""
    if isinstance(value, dict):
        return {names.get(name, name): renamed(member, names) for name, member in value.items()}
    return [renamed(member, names) for member in value] if isinstance(value, list) else value


def text(value: Any) -> Any:
    """What JSON does not know, as what it knows: instants in UTC, sets in order, all else as its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def digest(table: pa.Table) -> str:
    """Of the rows, whatever their order and that of the columns; instants as numbers, because zones have many names."""
    columns = [table.column(name) for name in sorted(table.column_names)]
    plain = [(c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c).to_pylist() for c in columns]
    return sha256("\n".join(sorted(map(repr, zip(*plain, strict=True)))).encode()).hexdigest()


def ranges(names: Iterable[str]) -> list[str]:
    """Days in their order as `first..last`, without a gap between; what is no day stands alone."""
    found: list[list[str]] = []
    for name in names:
        if found and name == _after(found[-1][1]):
            found[-1][1] = name
        else:
            found.append([name, name])
    return ["..".join(dict.fromkeys(each)) for each in found]


def _after(name: str) -> str:
    return str(date.fromisoformat(name) + timedelta(days=1)) if name[:1].isdigit() else ""
