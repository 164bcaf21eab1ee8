"""What a check is and what it reports: one shape for all of them.

Here: a check's declaration, its verdict, and their Dagster form. Not here: any measuring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg

from serving_assets.errors import shortened
from serving_assets.monitoring.severity import Severity
from serving_assets.pipeline.dagster_instance.check_records import FAILED_DAYS

EXAMPLES = 10


@dataclass(frozen=True)
class Check:
    """A check on one asset.

    Attributes:
        demands: what it demands, in words that a person on call understands.
        compares: whether it compares with other days, whose usual values a first history has yet to show.
    """

    name: str
    demands: str
    blocking: bool = True
    compares: bool = False

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Its Dagster declaration on `asset`."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.demands, blocking=self.blocking)

    def verdict(
        self,
        severity: Severity,
        message: str,
        *,
        measured: float,
        threshold: float,
        examples: Sequence[Mapping[str, Any]] = (),
        numbers: Mapping[str, float] | None = None,
        days: Iterable[date] = (),
    ) -> Verdict:
        """What was found: in words, as a number against its threshold, offending rows, and further numbers."""
        shown = tuple(examples)[:EXAMPLES]
        return Verdict(self, severity, shortened(message), measured, threshold, shown, numbers or {}, days=tuple(days))


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check in one run."""

    check: Check
    severity: Severity
    message: str
    measured: float
    threshold: float
    examples: tuple[Mapping[str, Any], ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    days: tuple[date, ...] = ()
    """Of a step over a range of days, those that have this severity; without any, the verdict is on all of them."""

    def showing(self, **shown: Any) -> Verdict:
        """The same verdict with more to show: pictures, tables, texts, as Dagster shows metadata."""
        return replace(self, shown={**self.shown, **shown})

    @property
    def passed(self) -> bool:
        """Whether there is nothing to report."""
        return self.severity == "pass"

    def result(self, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Its Dagster form; the numbers are plotted over time by the UI."""
        metadata: dict[str, Any] = {
            "measured": self.measured,
            "threshold": self.threshold,
            **self.numbers,
            **self.shown,
        }
        if self.days and not self.passed:
            metadata[FAILED_DAYS] = [str(day) for day in sorted(self.days)]
        if self.examples:
            metadata["examples"] = table_of(self.examples)
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.check.name,
            passed=self.passed,
            severity=dg.AssetCheckSeverity.ERROR if self.severity == "error" else dg.AssetCheckSeverity.WARN,
            description=self.message,
            metadata=metadata,
        )


def counted(number: int, noun: str) -> str:
    """`1 column`, `2 columns`: a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def table_of(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """One or more rows, which have the same columns, as a table that the UI shows."""
    records = [dg.TableRecord({name: _plain(value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in rows[0]]))


def _plain(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
