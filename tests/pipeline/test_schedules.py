"""Schedules by their real ticks: which partition each asks for.

Not here: whether a schedule's run succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.test_utils import create_run_for_test
from dagster._utils.schedules import schedule_execution_time_iterator

from serving_assets.catalog.spec import Daily
from serving_assets.catalog.timing import minutes_from
from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from serving_assets.pipeline.definitions import build_defs
from serving_assets.settings import Settings
from tests.pipeline.slice import NAME, small_catalog
from tests.pipeline.ticks import NEW_YORK, entered, made, schedule_tick

OTHER = "basket_propensity"


TABLES = ("raw/transactions", "raw/coupon_redemptions", "mapped/baskets", "mapped/household_days")
SNAPSHOTS = (
    *("raw/products", "raw/demographics", "raw/campaigns", "raw/campaign_descriptions"),
    *("mapped/households", "mapped/household_campaigns"),
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in which the snapshots were made once."""
    with open_instance(tmp_path) as found:
        for name in SNAPSHOTS:
            made(found, dg.AssetKey(name.split("/")), None)
        yield found


def definitions(root: Path, daily: Daily | None = None, deadline: str | None = None) -> dg.Definitions:
    """The shipped definitions, the daily schedule of one use case replaced."""
    catalog = small_catalog()
    bound = catalog.use_cases[NAME]
    spec = bound.spec.model_copy(update={"schedule": daily or bound.spec.schedule, "deadline": deadline})
    use_cases = {**catalog.use_cases, NAME: replace(bound, spec=spec)}
    return build_defs(Settings(data_dir=root), replace(catalog, use_cases=use_cases))


def ticks(schedule: dg.ScheduleDefinition, since: datetime, count: int) -> list[datetime]:
    """The next `count` instants at which Dagster's scheduler ticks."""
    assert schedule.execution_timezone is not None
    instants = schedule_execution_time_iterator(since.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return [next(instants) for _ in range(count)]


def requests(
    defs: dg.Definitions, instance: dg.DagsterInstance, found: Iterable[datetime], name: str = NAME
) -> list[tuple[datetime, dg.RunRequest]]:
    """What the daily schedule requests at each tick; the runs are entered, as the daemon would."""
    schedule = defs.get_repository_def().get_schedule_def(f"{name}_daily_schedule")
    asked = []
    for tick in found:
        for request in schedule_tick(defs, instance, schedule.name, tick).run_requests or []:
            tags = {"dagster/schedule_name": schedule.name}
            entered(instance, f"{name}_daily", request, dg.DagsterRunStatus.SUCCESS, **tags)
            asked.append((tick, request))
    return asked


@pytest.mark.parametrize(
    ("daily", "since"),
    [
        pytest.param(None, datetime(2017, 3, 10, 12, tzinfo=NEW_YORK), id="clocks go forward"),
        pytest.param(None, datetime(2017, 11, 3, 12, tzinfo=NEW_YORK), id="clocks go back"),
        pytest.param(
            Daily(at="02:30", timezone="America/New_York"),
            datetime(2017, 3, 10, 12, tzinfo=NEW_YORK),
            id="a time that does not exist",
        ),
        pytest.param(
            Daily(at="01:30", timezone="America/New_York"),
            datetime(2017, 11, 3, 12, tzinfo=NEW_YORK),
            id="a time that comes twice",
        ),
        pytest.param(
            Daily(at="00:00", timezone="America/New_York"),
            datetime(2017, 3, 10, 12, tzinfo=NEW_YORK),
            id="at midnight sharp",
        ),
        pytest.param(
            Daily(at="23:30", timezone="America/New_York"),
            datetime(2017, 3, 10, 12, tzinfo=NEW_YORK),
            id="over midnight",
        ),
    ],
)
@pytest.mark.parametrize("there", [True, False], ids=["all files", "no files"])
def test_each_day_is_asked_for_once_it_has_ended(
    tmp_path: Path, instance: dg.DagsterInstance, daily: Daily | None, since: datetime, there: bool
) -> None:
    """Over a change of clocks, three days are asked for once each, at the hour, or without files at the cut-off."""
    defs, at = definitions(tmp_path, daily), daily or small_catalog().use_cases[NAME].spec.schedule
    schedule, job = (
        defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule"),
        defs.resolve_job_def(f"{NAME}_daily"),
    )
    offset = 1 if at.at == "23:30" else 0  # the first day that has ended when it ticks
    days = [since.date() + timedelta(days=back - offset) for back in range(3)]
    if there:
        for name in TABLES:
            made(instance, dg.AssetKey(name.split("/")), *map(str, days))
    asked = requests(defs, instance, ticks(schedule, since, 3 * 13))
    assert [request.partition_key for _, request in asked] == [str(day) for day in days]
    assert job.partitions_def is not None
    for tick, request in asked:
        assert passed(at, tick) == (0 if there else 60) or tick.date() in CLOCK_CHANGES
        with partition_loading_context(effective_dt=tick):
            assert str(job.partitions_def.get_last_partition_key()) >= str(request.partition_key)
        wanted = {key.to_user_string() for key in request.asset_selection or ()}
        assert wanted & {*TABLES, *SNAPSHOTS} == (set() if there else set(TABLES))
        assert {f"{NAME}/features", f"{NAME}/online"} <= wanted


CLOCK_CHANGES = (date(2017, 3, 12), date(2017, 11, 5))


def passed(daily: Daily, tick: datetime) -> int:
    """Minutes on the face of the clock since the schedule's hour."""
    return minutes_from(daily.at, tick.astimezone(ZoneInfo(daily.timezone)).strftime("%H:%M"))


def test_a_run_begins_when_the_last_table_is_there(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Between the hour and the cut-off, each tick waits and says for what; the first one after the files asks once."""
    defs = definitions(tmp_path)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    first, second, third, fourth = ticks(schedule, datetime(2017, 5, 10, 12, tzinfo=NEW_YORK), 4)
    for name in TABLES[:3]:
        made(instance, dg.AssetKey(name.split("/")), "2017-05-10")
    waiting = schedule_tick(defs, instance, schedule.name, first)
    assert waiting.skip_message == "Waits for mapped/household_days of 2017-05-10, until 06:00."
    made(instance, dg.AssetKey(["mapped", "household_days"]), "2017-05-10")
    busy = create_run_for_test(
        instance,
        tags={"dagster/partition": "2017-05-10"},
        asset_selection=frozenset({dg.AssetKey(["raw", "transactions"])}),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert (
        schedule_tick(defs, instance, schedule.name, second).skip_message == "The tables of 2017-05-10 are being made."
    )
    instance.report_run_canceled(busy)
    assert [tick for tick, _ in requests(defs, instance, [third, fourth])] == [third]


def test_a_file_between_the_cut_off_and_the_deadline_is_in_time(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """A day whose run failed at the cut-off is asked for again at the first tick with all its tables, and then no more.

    A table that was there before the run ended is no reason, and neither is one while another is missing.
    """
    defs = definitions(tmp_path)
    name, cut_off = f"{NAME}_daily_schedule", datetime(2017, 5, 11, 6, tzinfo=NEW_YORK)
    later = [cut_off + timedelta(minutes=10 * n) for n in range(1, 5)]
    made(instance, dg.AssetKey(["raw", "coupon_redemptions"]), "2017-05-10")
    (failing,) = schedule_tick(defs, instance, name, cut_off).run_requests
    tags = {"dagster/schedule_name": name}
    instance.report_run_failed(entered(instance, f"{NAME}_daily", failing, dg.DagsterRunStatus.STARTED, **tags))
    assert schedule_tick(defs, instance, name, later[0]).skip_message == "2017-05-10 is requested already."
    made(instance, dg.AssetKey(["raw", "transactions"]), "2017-05-10")
    waits = schedule_tick(defs, instance, name, later[1]).skip_message
    assert waits == "Waits for mapped/baskets, mapped/household_days of 2017-05-10, until 07:00."
    for table in TABLES[2:]:
        made(instance, dg.AssetKey(table.split("/")), "2017-05-10")
    (again,) = schedule_tick(defs, instance, name, later[2]).run_requests
    assert again.run_key != failing.run_key
    assert {key.path[0] for key in again.asset_selection} == {NAME}
    instance.report_run_failed(entered(instance, f"{NAME}_daily", again, dg.DagsterRunStatus.STARTED, **tags))
    assert schedule_tick(defs, instance, name, later[3]).skip_message == "2017-05-10 is requested already."


def test_use_cases_that_share_sources_make_a_partition_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """At the same cut-off, the first use case asks for the missing tables; the other waits, and then does without."""
    defs = definitions(tmp_path, Daily(at="05:30", timezone="America/New_York"))
    at_cut_off = datetime(2017, 5, 11, 6, 30, tzinfo=NEW_YORK)
    (first,) = schedule_tick(defs, instance, f"{NAME}_daily_schedule", at_cut_off).run_requests
    run = entered(instance, f"{NAME}_daily", first, dg.DagsterRunStatus.STARTED)
    waits = schedule_tick(defs, instance, f"{OTHER}_daily_schedule", at_cut_off)
    assert (waits.run_requests, waits.skip_message) == ([], "The tables of 2017-05-10 are being made.")
    for name in TABLES:
        made(instance, dg.AssetKey(name.split("/")), "2017-05-10")
    instance.report_run_canceled(run)
    (second,) = schedule_tick(
        defs, instance, f"{OTHER}_daily_schedule", at_cut_off + timedelta(minutes=10)
    ).run_requests
    assert {key.path[0] for key in first.asset_selection} == {"raw", "mapped", NAME}
    assert {key.path[0] for key in second.asset_selection} == {OTHER}


def test_a_tick_elsewhere_asks_for_the_day_that_has_ended_here(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Five in the morning in Berlin is eleven at night in New York, whose day has not ended."""
    defs = definitions(tmp_path, Daily(at="05:00", timezone="Europe/Berlin"))
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    ((_, request),) = requests(defs, instance, ticks(schedule, datetime(2017, 5, 10, 12, tzinfo=NEW_YORK), 13))
    assert request.partition_key == "2017-05-09"


def test_before_the_first_day_has_ended_there_is_nothing_to_do(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """On the first day the tick is skipped and says why; on the second it asks for the first."""
    defs = definitions(tmp_path)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    found = ticks(schedule, datetime(2017, 1, 1, tzinfo=NEW_YORK), 26)
    skipped = schedule_tick(defs, instance, schedule.name, found[0])
    assert "since the first partition, 2017-01-01" in (skipped.skip_message or "")
    assert [request.partition_key for _, request in requests(defs, instance, found)] == ["2017-01-01"]


def test_training_is_due_on_mondays(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The training ticks weekly, at its local hour through the year, and asks for one run without a partition."""
    defs = definitions(tmp_path)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_training_schedule")
    found = ticks(schedule, datetime(2017, 3, 1, tzinfo=NEW_YORK), 3)
    assert [(tick.date(), tick.hour) for tick in found] == [(date(2017, 3, day), 6) for day in (6, 13, 20)]
    (request,) = schedule_tick(defs, instance, schedule.name, found[0]).run_requests or []
    assert request.partition_key is None
