"""What the alerts are worth: which told incidents belong to which injected fault, and how many belong to none.

Here: pure functions of what was injected and what was told. Not here: the telling.

A told incident is an incident that opened, or that a warning became an error of. It is **true** when all of this holds:
- it was told while a fault lasted, from the moment at which that begins until it has been fixed;
- it is about an asset that the fault touches, or that is made of one;
- the same days without any fault did not tell it: not the same asset and kind on the same morning, as severe or more.
Everything else is **false**: also what the real days say by themselves while a fault lasts, and what a fault still
causes after its fix.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

Severity = Literal["warn", "error"]


@dataclass(frozen=True)
class Told:
    """One incident that was told, at the local time `at`; `days` are the partitions that it speaks of."""

    at: datetime
    incident: int
    asset: str
    kind: str
    severity: Severity
    days: str = ""
    said: str = ""


@dataclass(frozen=True)
class Injected:
    """One fault, from `begin` to `end`, local time; `reaches` names the assets that it can spoil."""

    kind: str
    day: date
    days: int
    begin: datetime
    end: datetime
    reaches: frozenset[str]


@dataclass(frozen=True)
class Score:
    """What was told of each fault, in the order of `faults`, and what was told of none."""

    faults: tuple[Injected, ...]
    true: tuple[tuple[Told, ...], ...]
    false: tuple[Told, ...]
    days: int

    @property
    def seen(self) -> int:
        """Faults of which something was told."""
        return sum(bool(told) for told in self.true)

    @property
    def recall(self) -> float:
        """The share of the faults of which something was told."""
        return self.seen / len(self.faults) if self.faults else 1.0

    def precision(self, *, pages: bool, by_fault: bool) -> float:
        """The share of what was told that is true.

        Args:
            pages: count errors alone.
            by_fault: count all that was told of one fault once, and every false incident: the stricter number.
        """
        true = [[told for told in of_fault if not pages or told.severity == "error"] for of_fault in self.true]
        count = sum(map(bool, true)) if by_fault else sum(map(len, true))
        false = sum(not pages or told.severity == "error" for told in self.false)
        return count / (count + false) if count + false else 1.0

    @property
    def false_pages(self) -> int:
        """Errors that belong to no fault."""
        return sum(told.severity == "error" for told in self.false)

    @property
    def false_pages_a_week(self) -> float:
        """The same by week, over all days that were lived."""
        return self.false_pages / self.days * 7


def score(faults: Sequence[Injected], told: Sequence[Told], undisturbed: Collection[Told], days: int) -> Score:
    """Match what was told to the faults.

    Args:
        faults: what was injected; no two last at the same time.
        told: what was told in these days.
        undisturbed: what was told in the same days without any fault.
        days: how many were lived.
    """
    true: list[list[Told]] = [[] for _ in faults]
    false: list[Told] = []
    for one in told:
        by = next((n for n, fault in enumerate(faults) if _belongs(one, fault)), None)
        if by is None or any(_same(one, other) for other in undisturbed):
            false.append(one)
        else:
            true[by].append(one)
    return Score(tuple(faults), tuple(map(tuple, true)), tuple(false), days)


def _belongs(told: Told, fault: Injected) -> bool:
    return fault.begin <= told.at <= fault.end and told.asset in fault.reaches


def _same(told: Told, undisturbed: Told) -> bool:
    alike = (told.asset, told.kind, told.at.date()) == (undisturbed.asset, undisturbed.kind, undisturbed.at.date())
    return alike and (undisturbed.severity == "error" or told.severity == "warn")
