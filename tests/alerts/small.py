"""A workspace of a few lines, to be looked at by alerts: two daily assets, an unpartitioned one, and an op job.

What they do is decided by `World`: which checks fail, and which steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.catalog.discovery import Catalog
from serving_assets.pipeline.dagster_instance.check_records import FAILED_DAYS
from serving_assets.pipeline.observing.alert_sensor import Evaluation, look
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings
from tests.pipeline.slice import QUIET_INSTANCE

DAYS = dg.DailyPartitionsDefinition("2026-01-01")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OWNERS = ["team:crm"]


@dataclass
class World:
    """A workspace in a folder; `verdicts` tells what a check says, `broken` which steps fail and why."""

    root: Path
    config: str = ""
    verdicts: dict[str, tuple[bool, dg.AssetCheckSeverity]] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)
    failed_days: list[str] = field(default_factory=list)
    ahead: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        (self.root / "dagster").mkdir(parents=True)
        self.file = self.root / "alerts.yaml"
        self.file.write_text(self.config)

    @cached_property
    def settings(self) -> Settings:
        """Everything under the folder."""
        return Settings(data_dir=self.root / "data", alerts_config=self.file)

    @cached_property
    def platform(self) -> Platform:
        """Over a catalog with nothing in it."""
        return Platform(self.settings, Catalog(self.root, {}, {}, {}))

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """On disk, with the retries of runs on, as in production."""
        retries = {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
        overrides = {**QUIET_INSTANCE, "run_retries": retries}
        return dg.DagsterInstance.local_temp(str(self.root / "dagster"), overrides=overrides)

    @cached_property
    def assets(self) -> list[dg.AssetsDefinition]:
        """`raw/lines` and `churn/predictions` by day, each with a check, and `churn/online`."""
        return [
            self._asset(["raw", "lines"], DAYS, blocking=True),
            self._asset(["churn", "predictions"], DAYS),
            self._asset(["churn", "online"], None),
        ]

    @cached_property
    def defs(self) -> dg.Definitions:
        """All of it."""

        @dg.op
        def sweep() -> None:
            self._step("sweep")

        @dg.job
        def housekeeping() -> None:
            sweep()

        return dg.Definitions(assets=self.assets, jobs=[housekeeping])

    @property
    def book(self) -> IncidentStore:
        """What alerts know."""
        return IncidentStore(AlertsFile(self.settings.alerts_file))

    def _asset(
        self, path: list[str], days: dg.PartitionsDefinition[str] | None, *, blocking: bool = False
    ) -> dg.AssetsDefinition:
        name = "/".join(path)
        check = dg.AssetCheckSpec("sound", asset=dg.AssetKey(path), blocking=blocking)

        def made() -> dg.MaterializeResult[None]:
            self._step(name)
            passed, severity = self.verdicts.get(name, (True, dg.AssetCheckSeverity.WARN))
            said = dg.AssetCheckResult(
                passed=passed,
                check_name="sound",
                severity=severity,
                description="" if passed else f"{name} is odd",
                metadata={
                    "measured": 0.5,
                    "threshold": 0.25,
                    **({FAILED_DAYS: self.failed_days} if self.failed_days and not passed else {}),
                },
            )
            return dg.MaterializeResult(check_results=[said])

        made.__annotations__ = {}  # Dagster compares classes, and meets a string otherwise
        return dg.asset(key=path, partitions_def=days, check_specs=[check], owners=OWNERS)(made)

    def _step(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def make(self, asset: str, day: str | None = None, **tags: str) -> dg.ExecuteInProcessResult:
        """Run one asset."""
        return dg.materialize(
            self.assets,
            selection=[dg.AssetKey(asset.split("/"))],
            instance=self.instance,
            partition_key=day,
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )

    def fails(self, asset: str, *, error: bool = True) -> None:
        """Let its check fail from now on."""
        self.verdicts[asset] = (False, dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN)

    def passes(self, asset: str) -> None:
        """Let its check pass again."""
        del self.verdicts[asset]

    def look(self, ahead: timedelta | None = None) -> Evaluation:
        """One look, a little in the future, so that nothing is too young for it."""
        graph = self.defs.resolve_asset_graph()
        done = look(self.instance, self.platform, graph, datetime.now(UTC) + (ahead or self.ahead))
        assert done is not None
        return done

    def open(self) -> dict[str, Any]:
        """Open incidents by asset and kind, with their newest finding."""
        return {str(incident.key): incident.last for incident in self.book.incidents()}

    def dead_run(
        self, job: str, assets: Sequence[dg.AssetKey] = (), tags: dict[str, str] | None = None, *, ends: bool = True
    ) -> str:
        """A run whose worker is gone before it could say why; without `ends`, its end is not noticed yet."""
        whole = self.defs.resolve_implicit_global_asset_job_def() if assets else self.defs.resolve_job_def(job)
        run = self.instance.create_run_for_job(whole, asset_selection=frozenset(assets) or None, tags=tags)
        self.instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job), run.run_id)
        for asset in assets:
            planned = AssetMaterializationPlannedData(asset)
            step = "__".join(asset.path)
            event = dg.DagsterEvent.build_asset_materialization_planned_event(job, step, planned)
            self.instance.report_dagster_event(event, run.run_id)
        if ends:
            started = self.instance.get_run_by_id(run.run_id)
            assert started is not None
            self.instance.report_run_failed(started, "The process that executed this run was killed.")
        return run.run_id
