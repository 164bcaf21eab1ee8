"""What a check is and what it says: one shape for all of them.

Here: a check's declaration, its verdict, and their Dagster form. Not here: any measuring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg

EXAMPLES = 10


@dataclass(frozen=True)
class Check:
    """A check on one asset: its name, what it demands in words that a person on call understands, whether it gates."""

    name: str
    demands: str
    blocking: bool = True

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Its Dagster declaration on `asset`."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.demands, blocking=self.blocking)

    def verdict(
        self,
        severity: Literal["pass", "warn", "error"],
        said: str,
        *,
        measured: float,
        threshold: float,
        examples: Sequence[Mapping[str, Any]] = (),
        **numbers: float,
    ) -> Verdict:
        """What was found: in words, as a number against its threshold, and offending rows."""
        return Verdict(self, severity, said, measured, threshold, tuple(examples)[:EXAMPLES], numbers)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check in one run."""

    check: Check
    severity: Literal["pass", "warn", "error"]
    said: str
    measured: float
    threshold: float
    examples: tuple[Mapping[str, Any], ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether there is nothing to tell anyone."""
        return self.severity == "pass"

    def result(self, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Its Dagster form; the numbers are plotted over time by the UI."""
        metadata: dict[str, Any] = {"measured": self.measured, "threshold": self.threshold, **self.numbers}
        if self.examples:
            records = [dg.TableRecord({k: _plain(v) for k, v in row.items()}) for row in self.examples]
            columns = [dg.TableColumn(name) for name in self.examples[0]]
            metadata["examples"] = dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.check.name,
            passed=self.passed,
            severity=dg.AssetCheckSeverity.ERROR if self.severity == "error" else dg.AssetCheckSeverity.WARN,
            description=self.said,
            metadata=metadata,
        )


def _plain(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
