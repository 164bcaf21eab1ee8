"""The gaps of a use case: days without predictions, days scored before late data came, unpublished predictions.

Here: finding them in the instance, with why each is or is not requested. Not here: requesting runs (catch_up_sensor.py,
rescoring_schedule.py) or alerting about what was given up.

Attempts are counted by the tags of their runs, and start at zero again when one of the inputs has changed. Nothing is
kept anywhere else: a run that is deleted no longer counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.spec import LastDays, Source
from serving_assets.errors import listed
from serving_assets.lake import DayRange
from serving_assets.landing.zone import SNAPSHOT, LandingZone
from serving_assets.pipeline.asset_keys import daily_keys, online_features_keys, stage_keys, upstream_tables
from serving_assets.pipeline.automation.calendar import newest_due
from serving_assets.pipeline.automation.missing_tables import missing_tables
from serving_assets.pipeline.automation.runs_in_flight import RunsInFlight
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.runs import ENDED
from serving_assets.pipeline.dagster_instance.tags import FIXES_TAG, INPUTS_TAG
from serving_assets.pipeline.days import last_days
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.losses import losses

PUBLICATION = "publication"
QUIET = timedelta(minutes=10)
"""How long the history must have rested before it is published out of turn: of a backfill, more days may follow."""
SCORING = ("features", "predictions", "historic")

State = Literal["due", "waiting", "given up"]


@dataclass(frozen=True)
class Gap:
    """One thing that is missing.

    Attributes:
        day: the day; None for a publication.
        why: what is missing, and what it waits for, as text.
        state: `due`: to be requested; `waiting`: for files, tables or a run; `given up`: after too many attempts.
        keys: the assets that close it.
        inputs: a number that changes with the inputs: their newest event.
        attempts: runs that ended without closing it since the inputs changed last.
    """

    use_case: str
    day: date | None
    why: str
    state: State
    keys: tuple[dg.AssetKey, ...] = ()
    inputs: int = 0
    attempts: int = 0

    @property
    def fixes(self) -> str:
        """The value of `FIXES_TAG` on a run that closes it."""
        return f"{self.use_case}/{self.day or PUBLICATION}"


def find_gaps(view: InstanceView, platform: Platform, use_case: BoundUseCase, now: datetime) -> list[Gap]:
    """Return the gaps among the newest days, newest first; a publication comes last."""
    search = _Search(view, platform, use_case, now)
    scored = view.materialized_partitions(search.historic)
    found = [search.missing(day) for day in search.days() if str(day) not in scored]
    for newest, inputs in stale_days(view, platform, use_case, {max(scored, default="")} - {""}).items():
        found.append(search.outdated(newest, inputs))
    if unpublished := search.unpublished():
        found.append(unpublished)
    return sorted(found, key=lambda gap: gap.day or date.min, reverse=True)


def given_up(view: InstanceView, platform: Platform, use_case: BoundUseCase, now: datetime) -> list[Gap]:
    """Return the gaps that are not tried again until they are closed by hand or an input changes."""
    return [gap for gap in find_gaps(view, platform, use_case, now) if gap.state == "given up"]


def stale_days(
    view: InstanceView, platform: Platform, use_case: BoundUseCase, days: Collection[str]
) -> dict[date, int]:
    """Return those of `days` whose features are older than a day of their window, with the newest event of it."""
    features = view.newest_event_ids(dg.AssetKey([use_case.name, "features"]), days)
    windows = {
        platform.catalog.tables[name].lake_name: window.days
        for name, window in use_case.spec.features.inputs.items()
        if isinstance(window, LastDays)
    }
    if not features or not windows:
        return {}
    scored = [date.fromisoformat(day) for day in features]
    read = DayRange(min(scored) - timedelta(days=max(windows.values())), max(scored))
    events = {t: view.newest_event_ids(dg.AssetKey(t.split("/")), [str(d) for d in read.days()]) for t in windows}
    stale = {}
    for day in scored:
        seen = [events[t].get(str(d), 0) for t, length in windows.items() for d in last_days(day, length).days()]
        if max(seen) > features[str(day)]:
            stale[day] = max(seen)
    return stale


class _Search:
    """One search for the gaps of one use case."""

    def __init__(self, view: InstanceView, platform: Platform, use_case: BoundUseCase, now: datetime) -> None:
        self.view, self.platform, self.use_case, self.now = view, platform, use_case, now
        self.tables = upstream_tables(platform.catalog, use_case)
        self.historic = dg.AssetKey([use_case.name, "historic"])
        self.in_flight = RunsInFlight.on(view, platform)
        self.limit = use_case.spec.catch_up.attempts

    def days(self) -> list[date]:
        """Return the newest days whose deadline has passed, newest first: until then the daily run may still come."""
        first = self.platform.first_day_of(self.use_case)
        newest = newest_due(self.use_case, self.now)
        looked_at = (newest - timedelta(days=back) for back in range(self.use_case.spec.catch_up.days))
        return [day for day in looked_at if day >= first]

    def missing(self, day: date) -> Gap:
        """Return the gap of a day without predictions."""
        absent_tables = missing_tables(self.view, self.platform, self.tables, day)
        newest = day == newest_due(self.use_case, self.now)
        keys = (*absent_tables, *(daily_keys(self.use_case) if newest else stage_keys(self.use_case, SCORING)))
        why = f"{day} has no predictions"
        if waits_for := self._not_landed(absent_tables, day) or self._gaps(day):
            return Gap(self.use_case.name, day, f"{why}: {waits_for}", "waiting")
        return self._tried(day, why, keys, self._inputs(day))

    def _inputs(self, day: date) -> int:
        """The newest event among what the day is made of: its tables, snapshots, and the model that scores."""
        champion = dg.AssetKey([self.use_case.name, "champion"])
        made = [self.view.newest_event_ids(key, [str(day)]).get(str(day), 0) for key in self.tables]
        whole = [*(k for k in self.tables if not self.platform.catalog.tables[k.path[-1]].daily), champion]
        return max([*made, *(newest.event for newest in self.view.newest_of(whole).values())], default=0)

    def outdated(self, day: date, inputs: int) -> Gap:
        """Return the gap of the newest day, whose data changed after it was scored."""
        return self._tried(day, f"{day} was scored before late data came", (*daily_keys(self.use_case),), inputs)

    def unpublished(self) -> Gap | None:
        """Return the gap of predictions that the store has lost, or that are in the history alone."""
        published = stage_keys(self.use_case, ("latest", "online"))
        keys = (*published, *online_features_keys(self.use_case))
        if lost := losses(self.platform, self.use_case):
            why = f"the store has lost {listed(name for name, _ in lost)}"
            since = max(datetime.fromisoformat(entry.at) for _, entry in lost)
            return self._tried(None, why, keys, int(since.timestamp()))
        newest = self.view.newest_of([self.historic, published[-1]])
        history, last = newest.get(self.historic), newest.get(published[-1])
        if history is None or (last is not None and last.at >= history.at):
            return None
        since = history.at
        why = f"predictions of {since.isoformat(timespec='seconds')} are not published"
        if self.now - since < QUIET:
            return Gap(self.use_case.name, None, f"{why}: more may follow", "waiting")
        return self._tried(None, why, keys, int(since.timestamp()))

    def _tried(self, day: date | None, why: str, keys: tuple[dg.AssetKey, ...], inputs: int) -> Gap:
        """Return it as due, unless a run or backfill is making it, or too many runs have ended without closing it."""
        gap = Gap(self.use_case.name, day, why, "due", keys, inputs)
        tags = {FIXES_TAG: gap.fixes, INPUTS_TAG: str(inputs)}
        ended = self.view.runs(tags, ENDED)
        if self.in_flight.holds(keys, day) or self.in_flight.backfilled & set(keys):
            return _as(gap, "waiting", f"{why}: a run is making it", len(ended))
        if len(ended) >= self.limit:
            last = max(ended, key=lambda run: run.run_id).run_id
            return _as(gap, "given up", f"{why}: {len(ended)} runs have failed, such as {last}", len(ended))
        return _as(gap, "due", why, len(ended))

    def _not_landed(self, absent_tables: Sequence[dg.AssetKey], day: date) -> str:
        """Which files a missing raw table waits for."""
        zone = LandingZone.of(self.platform.settings)
        waits_for = []
        for key in absent_tables:
            table = self.platform.catalog.tables[key.path[-1]]
            folder = str(day) if table.daily else SNAPSHOT
            if isinstance(table.spec, Source) and folder not in zone.deliveries(table.spec):
                waits_for.append(table.name)
        return f"no file of {', '.join(waits_for)} has landed" if waits_for else ""

    def _gaps(self, day: date) -> str:
        """Which earlier days the features would refuse to go without."""
        for name, window in self.use_case.spec.features.inputs.items():
            table = self.platform.catalog.tables[name]
            if isinstance(window, LastDays):
                first = self.platform.first_day(table.domain)
                have = self.view.materialized_partitions(dg.AssetKey([table.layer, name]))
                read = [d for d in last_days(day, window.days).days() if first <= d < day and str(d) not in have]
                if read:
                    return f"{table.lake_name} lacks {', '.join(map(str, read[:3]))}{' ...' if len(read) > 3 else ''}"
        return ""


def _as(gap: Gap, state: State, why: str, attempts: int) -> Gap:
    return Gap(gap.use_case, gap.day, why, state, gap.keys, gap.inputs, attempts)
