"""Who looks at the simulated days: Dagster's freshness, the sensor's look, and somebody on call who reads the notices.

Here: what was told, and when by the simulated clock. Not here: whether it was right (scoring.py).
"""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._daemon.freshness import FreshnessDaemon

from benchmarks.ninety.scoring import Told
from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.records import Incident, Severity
from serving_assets.demo import TIMEZONE
from serving_assets.pipeline.observing.alert_sensor import look
from tests.pipeline.slice import Bench

LOOKED_AFTER = timedelta(seconds=10)
"""The sensor looks every 30 seconds, and leaves what is younger than three to its next look."""
ON_CALL = "on call"


@dataclass
class Watch:
    """The alerts of a workspace; `told` has each incident that opened or worsened, in the order of the notices."""

    bench: Bench
    told: list[Told] = field(default_factory=list)
    notices: list[tuple[datetime, int]] = field(default_factory=list)
    """When each notice that something is wrong went out, and of which incident."""
    _known: dict[int, Incident] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graph: AssetGraph = self.bench.defs.resolve_asset_graph()
        self.book = IncidentStore(AlertsFile(self.bench.settings.alerts_file))

    def look(self) -> None:
        """As the sensor looks; what it then says is remembered."""
        now = datetime.now(UTC) + LOOKED_AFTER
        with redirect_stdout(io.StringIO()):
            done = look(self.bench.instance, self.bench.platform, self.graph, now)
        assert done is not None
        assert not done.refused
        for incident in self.book.incidents(also_resolved=True):
            before = self._known.get(incident.number)
            if incident.announced_at is None or incident == before:
                continue
            self._known[incident.number] = incident
            if before is None or before.notified_severity < incident.notified_severity:
                self.told.append(_told(incident, now))
            heard = incident.notices - (before.notices if before else 0)
            self.notices += [(now, incident.number)] * max(heard if incident.is_open else heard - 1, 0)

    def fails(self) -> bool:
        """Whether an error is open."""
        return any(incident.severity is Severity.ERROR for incident in self.book.incidents())

    def acknowledge(self) -> None:
        """Whoever is on call takes the open errors, so that they are repeated once a day."""
        for incident in self.book.incidents():
            if incident.severity is Severity.ERROR and incident.acknowledged_at is None and incident.announced_at:
                taken = self.book.acknowledge(incident.number, ON_CALL, "", datetime.now(UTC))
                self._known[incident.number] = taken

    def freshness(self) -> None:
        """Evaluate the policies as the daemon does, which writes down what has changed."""
        daemon, context = FreshnessDaemon(), LoadingContextForTest(self.bench.instance)

        async def evaluated() -> None:
            for node in self.graph.asset_nodes:
                if node.freshness_policy is not None:
                    await daemon._evaluate_asset(context, node)  # type: ignore[arg-type]

        asyncio.run(evaluated())

    def killed(self, asset: dg.AssetKey, day: date) -> None:
        """A run whose process is gone in the middle of `asset`: the events that it and Dagster's monitoring leave."""
        instance, job = self.bench.instance, self.bench.defs.resolve_implicit_global_asset_job_def()
        tags = {PARTITION_NAME_TAG: str(day)}
        run = instance.create_run_for_job(job, asset_selection=frozenset([asset]), tags=tags)
        step = "__".join(asset.path)
        for kind, of in ((dg.DagsterEventType.RUN_START, None), (dg.DagsterEventType.STEP_START, step)):
            instance.report_dagster_event(dg.DagsterEvent(kind.value, job.name, step_key=of), run.run_id)
        started = instance.get_run_by_id(run.run_id)
        assert started is not None
        instance.report_run_failed(started, "The process that executed this run was killed.")


def reached(graph: AssetGraph, asset: str) -> set[str]:
    """An asset and all that is made of it, directly or not."""
    key = dg.AssetKey(asset.split("/"))
    found, left = {key}, [key]
    while left:
        more = graph.get(left.pop()).child_keys - found
        found |= more
        left += more
    return {each.to_user_string() for each in found}


def _told(incident: Incident, now: datetime) -> Told:
    return Told(
        at=now.astimezone(ZoneInfo(TIMEZONE)),
        incident=incident.number,
        asset=incident.key.asset,
        kind=incident.key.kind,
        severity="error" if incident.severity is Severity.ERROR else "warn",
        days=", ".join(sorted({str(one.days) for one in incident.failing if str(one.days)})),
        said=incident.last.message,
    )
