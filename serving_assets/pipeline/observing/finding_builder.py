"""Findings about assets, jobs and the platform: the owner, the page in the UI, and what to do first.

Here: facts about assets, jobs and kinds of failure. Not here: finding out that something failed (findings_from_runs.py,
findings_from_state.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from serving_assets.alerts.records import ALL, LONGEST_FINDING, Days, Finding, Key, Severity
from serving_assets.catalog.discovery import Catalog
from serving_assets.catalog.timing import newest_ended_day
from serving_assets.errors import shortened
from serving_assets.pipeline.broken_declarations import DECLARATION_BROKEN
from serving_assets.pipeline.dagster_instance.asset_graph import AssetGraph
from serving_assets.pipeline.observing.runbooks import STORE_LOST, STORE_UNREACHABLE

PLATFORM = "platform"
STEP_FAILED, RUN_DIED, RUN_FAILED, RUN_STUCK = "step_failed", "run_died", "run_failed", "run_stuck"
FRESHNESS, GIVEN_UP, TICK_FAILED = "freshness", "given_up", "tick_failed"
DELIVERY_FAILED, CONFIGURATION_BROKEN = "delivery_failed", "configuration_broken"
OF_A_STEP = (STEP_FAILED, RUN_DIED)
"""What is over when the asset has been made."""

FIRST_STEPS = {
    STEP_FAILED: "Read the error of the step in its run, fix the cause, and launch the run again; repeating is safe.",
    RUN_DIED: "See in the run and on its machine why the process ended (memory, disk, restart); launch the run again.",
    RUN_FAILED: "Open the run and read its last events; launch it again when the cause is gone.",
    RUN_STUCK: "See what the run waits for; if nothing, terminate it in the UI and launch it again; repeating is safe.",
    FRESHNESS: "See with `serving-assets status` which stage is behind, and whether its files have landed.",
    GIVEN_UP: "Read why the newest of its runs failed, fix that, then: serving-assets backfill --from $DAY --to $DAY",
    TICK_FAILED: "Open it under Automation in the UI and read the error of its newest tick.",
    DELIVERY_FAILED: "Read the error with `serving-assets alerts`, and try again with `serving-assets alerts test`.",
    STORE_UNREACHABLE: "Look at the store's server, or file and disk; the API answers from what it still holds.",
    STORE_LOST: "Bring it back from the lake: serving-assets restore.",
    DECLARATION_BROKEN: "Correct the file that the message names, try it with `serving-assets validate`, and deploy.",
    CONFIGURATION_BROKEN: "Correct the file; until then alerts go where its last valid version sent them.",
}
BLOCKED = "Nothing after it was made, and readers keep what they had. Look at the check in the UI."
NOT_BLOCKED = "What was made has been handed on. Look at the check in the UI, and how its number moved."
EXAMPLES_SHOWN = "It shows example rows."


@dataclass(frozen=True)
class FindingBuilder:
    """Builds findings about the assets of a workspace."""

    graph: AssetGraph
    catalog: Catalog

    def asset_finding(
        self,
        asset: dg.AssetKey,
        kind: str,
        severity: Severity,
        at: datetime,
        days: Days = ALL,
        *,
        message: str = "",
        first_step: str = "",
        page: str = "",
    ) -> Finding:
        """A finding about an asset; for one that is not partitioned, about all of it."""
        return Finding(
            key=Key(self.scope(asset), asset.to_user_string(), kind),
            severity=severity,
            at=at,
            days=days if self._is_partitioned(asset) else ALL,
            message=shortened(message, LONGEST_FINDING),
            owners=self._owners(asset),
            first_step=first_step or FIRST_STEPS.get(kind, ""),
            page=page or f"assets/{asset.to_user_string()}",
            newest_day=_newest_day(at, self._timezone(asset)),
        )

    def scope(self, asset: dg.AssetKey) -> str:
        """The use case of an asset, or the domain of a table."""
        if asset.path[0] in self.catalog.use_cases:
            return asset.path[0]
        tables = (table for table in self.catalog.tables.values() if [table.layer, table.name] == list(asset.path))
        return next((table.domain.name for table in tables), PLATFORM)

    def is_table(self, asset: dg.AssetKey) -> bool:
        """Whether it is a table that windows of later days read too."""
        return asset.path[0] in ("raw", "mapped")

    def of_step(self, step: str) -> dg.AssetKey | None:
        """The asset that a step makes; None for a step that makes none."""
        return next((key for key in self.graph.get_all_asset_keys() if "__".join(key.path) == step), None)

    def job_finding(
        self, job: str, kind: str, severity: Severity, at: datetime, *, message: str = "", page: str = ""
    ) -> Finding:
        """A finding about a job."""
        scope = next((name for name in self.catalog.use_cases if job.startswith(f"{name}_")), PLATFORM)
        use_case = self.catalog.use_cases.get(scope)
        return Finding(
            Key(scope, f"jobs/{job}", kind),
            severity,
            at,
            message=shortened(message, LONGEST_FINDING),
            owners=use_case.spec.owners if use_case else (),
            first_step=FIRST_STEPS[kind],
            page=page or "runs",
            newest_day=_newest_day(at, use_case.domain.timezone if use_case else "UTC"),
        )

    def _timezone(self, asset: dg.AssetKey) -> str:
        """Of the domain that the days of an asset follow."""
        if asset.path[0] in self.catalog.use_cases:
            return self.catalog.use_cases[asset.path[0]].domain.timezone
        tables = (table for table in self.catalog.tables.values() if [table.layer, table.name] == list(asset.path))
        return next((table.domain.timezone for table in tables), "UTC")

    def _owners(self, asset: dg.AssetKey) -> tuple[str, ...]:
        return tuple(self.graph.get(asset).owners) if self.graph.has(asset) else ()

    def _is_partitioned(self, asset: dg.AssetKey) -> bool:
        return self.graph.has(asset) and self.graph.get(asset).is_partitioned


def platform_finding(
    what: str, kind: str, severity: Severity, at: datetime, *, message: str = "", page: str = ""
) -> Finding:
    """A finding about what belongs to no use case."""
    return Finding(
        Key(PLATFORM, what, kind),
        severity,
        at,
        message=shortened(message, LONGEST_FINDING),
        first_step=FIRST_STEPS[kind],
        page=page,
        newest_day=_newest_day(at, "UTC"),
    )


def _newest_day(at: datetime, timezone: str) -> str:
    """The newest day that had ended at `at`."""
    return newest_ended_day(at, timezone).isoformat()
