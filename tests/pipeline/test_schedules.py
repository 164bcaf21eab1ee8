"""Schedules by their real ticks: which partition each asks for.

Not here: whether a schedule's run succeeds.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._utils.schedules import schedule_execution_time_iterator

from serving_assets.catalog.spec import Daily
from serving_assets.pipeline.build import build_defs
from serving_assets.settings import Settings
from tests.pipeline.slice import NAME, small_catalog

NEW_YORK = ZoneInfo("America/New_York")


def definitions(root: Path, daily: Daily | None = None) -> dg.Definitions:
    """The shipped definitions, their daily schedule replaced."""
    catalog = small_catalog()
    bound = catalog.use_cases[NAME]
    spec = bound.spec.model_copy(update={"schedule": daily or bound.spec.schedule})
    return build_defs(Settings(data_dir=root), replace(catalog, use_cases={NAME: replace(bound, spec=spec)}))


def ticks(schedule: dg.ScheduleDefinition, since: datetime, count: int) -> list[datetime]:
    """The next `count` instants at which Dagster's scheduler ticks."""
    assert schedule.execution_timezone is not None
    instants = schedule_execution_time_iterator(since.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return [next(instants) for _ in range(count)]


def evaluated(defs: dg.Definitions, name: str, tick: datetime) -> dg.ScheduleExecutionData:
    """What the schedule says at a tick."""
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def(name)
    with dg.build_schedule_context(
        scheduled_execution_time=tick, repository_def=repository, resources={"platform": None}
    ) as context:
        return schedule.evaluate_tick(context)


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
    ],
)
def test_each_day_is_asked_for_once_it_has_ended(tmp_path: Path, daily: Daily | None, since: datetime) -> None:
    """Over a change of clocks, five ticks ask for five days in a row, each the newest that has ended."""
    defs = definitions(tmp_path, daily)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    job = defs.resolve_job_def(f"{NAME}_daily")
    for back, tick in enumerate(ticks(schedule, since, 5)):
        (request,) = evaluated(defs, schedule.name, tick).run_requests or []
        day = since.date() + timedelta(days=back)
        assert (request.partition_key, request.run_key) == (str(day), str(day))
        assert job.partitions_def is not None
        with partition_loading_context(effective_dt=tick):
            assert job.partitions_def.get_last_partition_key() == str(day)


def test_a_tick_elsewhere_asks_for_the_day_that_has_ended_here(tmp_path: Path) -> None:
    """Five in the morning in Berlin is eleven at night in New York, whose day has not ended."""
    defs = definitions(tmp_path, Daily(at="05:00", timezone="Europe/Berlin"))
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    (tick,) = ticks(schedule, datetime(2017, 5, 10, 12, tzinfo=NEW_YORK), 1)
    (request,) = evaluated(defs, schedule.name, tick).run_requests or []
    assert request.partition_key == "2017-05-09"


def test_before_the_first_day_has_ended_there_is_nothing_to_do(tmp_path: Path) -> None:
    """On the first day the tick is skipped and says why; on the second it asks for the first."""
    defs = definitions(tmp_path)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_daily_schedule")
    first, second = ticks(schedule, datetime(2017, 1, 1, tzinfo=NEW_YORK), 2)
    skipped = evaluated(defs, schedule.name, first)
    assert not skipped.run_requests
    assert "since the first partition, 2017-01-01" in (skipped.skip_message or "")
    (request,) = evaluated(defs, schedule.name, second).run_requests or []
    assert request.partition_key == "2017-01-01"


def test_training_is_due_on_mondays(tmp_path: Path) -> None:
    """The training ticks weekly, at its local hour through the year, and asks for one run without a partition."""
    defs = definitions(tmp_path)
    schedule = defs.get_repository_def().get_schedule_def(f"{NAME}_training_schedule")
    found = ticks(schedule, datetime(2017, 3, 1, tzinfo=NEW_YORK), 3)
    assert [(tick.date(), tick.hour) for tick in found] == [(date(2017, 3, day), 6) for day in (6, 13, 20)]
    (request,) = evaluated(defs, schedule.name, found[0]).run_requests or []
    assert request.partition_key is None
