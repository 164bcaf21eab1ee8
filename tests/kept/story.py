"""Live the life of a small workspace: what every part of the code stores is stored at least once.

Here: the days that are landed, and what is done to them, by the commands wherever there is one. Not here: the folder's
packing (packing.py), or what is read of it afterwards (facts.py).

The households are few and the days are as many as the features' window and the training ask for. Household, day and
hour are the real ones, moved by whole weeks so that the newest day is yesterday.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.storage.tags import SCHEDULE_NAME_TAG
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from typer.testing import CliRunner

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.cli import app
from serving_assets.demo import DAILY, SNAPSHOTS, land
from serving_assets.demo.shift import TIMEZONE, Shift
from serving_assets.lake import DayRange
from serving_assets.local_runner.backfill import carry_out
from serving_assets.local_runner.run_assets import QUIET, run_assets
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.automation import backfill_record
from serving_assets.pipeline.dagster_instance.tags import days_of
from serving_assets.pipeline.observing.alert_sensor import look
from serving_assets.settings import PROJECT
from serving_assets.store import Publication
from tests.kept.asking import asked

NAME, FALLBACK, KEY = "purchase_propensity", "basket_propensity", "household_id"
HOUSEHOLDS = f"{KEY} % 40 = 0"
DAYS = 108
"""The window of 91 days, ten days to look back from, seven on which they come true, and one that has only landed."""
BEGIN = date(2017, 3, 3)
"""No day of the real data that is landed is older."""
LOCATION = "serving_assets"
"""The name of the code location in workspace.yaml."""
PROMOTED = "promote_if=Promotion(beats_baselines=False, max_calibration_error=1.0),"
CHANGES = {
    f"use_cases/{NAME}/train.py": {"min_samples_leaf=500": "min_samples_leaf=10"},
    f"use_cases/{NAME}/use_case.py": {
        "import Fallback,": "import LogAnswers, Fallback,",
        "    Predictions,\n": "    Predictions,\n    Promotion,\n",
        "serve=Serve(": "serve=Serve(log=LogAnswers(share=1, entity=True), ",
        'train="train.py:train",': f'train="train.py:train", as_ofs=10, every_days=1, holdout=2, {PROMOTED}',
    },
    f"use_cases/{FALLBACK}/use_case.py": {
        "    Predictions,\n": "    Predictions,\n    Promotion,\n",
        "holdout=16,": f"holdout=8, {PROMOTED}",
    },
    "domains/complete_journey/domain.py": {
        "import date\n": "import date\n\nfrom serving_assets.catalog.checks import TableChecks\n",
        'key=("basket_id", "product_id"),': 'key=("basket_id", "product_id"), rejected_error=0.1, '
        "checks=TableChecks(volume_z=100),",
    },
}
"""What the shipped catalog says otherwise: of few households the rows of a day come and go."""


@dataclass(frozen=True)
class Told:
    """What a reader of the workspace must know and cannot read in it."""

    newest: date
    entity: int
    erased: int
    key: str


def small_catalog(root: Path) -> Path:
    """A copy of the shipped catalog: the model learns from few rows and is promoted as it is; answers are logged."""
    shutil.copytree(PROJECT / "serving_assets" / "catalog", root)
    for file, changes in CHANGES.items():
        text = (root / file).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (root / file).write_text(text)
    return root


def live(landing: Path, instance_folder: Path) -> Told:
    """Everything that happens in the workspace of the environment's settings."""
    newest = datetime.now(ZoneInfo(TIMEZONE)).date() - timedelta(days=1)
    days = [newest - timedelta(days=back) for back in reversed(range(DAYS))]
    deliver(landing, days)
    spoil(landing, days[-6], "CASE WHEN rowid = 0 THEN -1 ELSE sales_value END AS sales_value")
    command("backfill", "--from", days[0], "--to", days[-2], "--use-case", NAME, "--only-tables")
    command("train", NAME)
    command("train", FALLBACK)
    workspace = Workspace()
    scheduled(workspace, days[-5])
    look_for_alerts(workspace)
    key = keys()
    entity, erased = answers(workspace, key)
    command("forget", KEY, erased, "--yes")
    command("backfill", "--from", days[-4], "--to", days[-3], "--use-case", NAME)
    paused(workspace, DayRange(days[-8], days[-7]))
    scheduled(workspace, days[-2])
    command("rollback", NAME, "--reason", "The scores look wrong.")
    killed_publish(workspace)
    broken_delivery(workspace, landing, newest)
    look_for_alerts(workspace)
    people(workspace)
    (instance_folder / "alerts.yaml").write_text("default: {notify: [stdout]}\n")
    return Told(newest, entity, erased, key)


def command(*arguments: object, codes: tuple[int, ...] = (0,)) -> str:
    """What `serving-assets` prints."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    sys.stdout.write(f"serving-assets {' '.join(map(str, arguments))}\n")
    assert done.exit_code in codes, done.output
    return done.stdout


def deliver(landing: Path, days: list[date]) -> None:
    """Land the days of the few households, with the products that they bought, as upstream systems would."""
    weeks = (days[0] - BEGIN).days // 7
    Shift(weeks).remember(landing)
    (landing.parent / "settings.env").write_text(f"FIRST_DAY={days[0]}\n")
    land(landing, days[0], days[-1], ending=days[-1], sources=(*DAILY, *(set(SNAPSHOTS) - {"coupons"})))
    with duckdb.connect() as connection:
        for source in (*DAILY, "demographics", "campaigns"):
            for file in sorted((landing / source).rglob("*.parquet")):
                _keep(connection, file, HOUSEHOLDS)
        bought = f"SELECT product_id FROM read_parquet('{landing}/transactions/*/*.parquet')"
        _keep(connection, landing / "products" / "products.parquet", f"product_id IN ({bought})")


def spoil(landing: Path, day: date, expression: str) -> None:
    """Deliver the till lines of a day with a column replaced."""
    with duckdb.connect() as connection:
        _rewrite(connection, transactions(landing, day), f"SELECT * REPLACE ({expression}) FROM lines")


def transactions(landing: Path, day: date) -> Path:
    """The file of the till lines of a day."""
    return landing / "transactions" / f"dt={day}" / "transactions.parquet"


def _keep(connection: duckdb.DuckDBPyConnection, file: Path, condition: str) -> None:
    _rewrite(connection, file, f"SELECT * FROM lines WHERE {condition}")


def _rewrite(connection: duckdb.DuckDBPyConnection, file: Path, sql: str) -> None:
    read = f"read_parquet('{file}', hive_partitioning = false)"
    connection.execute(f"CREATE OR REPLACE TABLE lines AS FROM {read}")
    connection.execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")


def scheduled(workspace: Workspace, day: date) -> None:
    """The daily run of a day, as its schedule asks for it in the morning after."""
    instance, use_case = workspace.instance, workspace.catalog.use_case(NAME)
    job, name = workspace.defs.resolve_job_def(f"{NAME}_daily"), f"{NAME}_daily_schedule"
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=_morning(use_case, day),
        repository_def=workspace.defs.get_repository_def(),
        resources={"platform": None},
    ) as context:
        setattr(context, "_instance", instance)  # noqa: B010  # the instance that there is, not another one
        tick = workspace.defs.get_repository_def().get_schedule_def(name).evaluate_tick(context)
    (request,) = tick.run_requests
    done = job.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        asset_selection=list(request.asset_selection or ()),
        tags={**request.tags, SCHEDULE_NAME_TAG: name},
        run_config=QUIET,
        raise_on_error=False,
    )
    assert done.success


def _morning(use_case: BoundUseCase, day: date) -> datetime:
    at = use_case.spec.schedule
    return datetime.combine(day + timedelta(days=1), time.fromisoformat(at.at), ZoneInfo(at.timezone))


def keys() -> str:
    """Three keys, one of which is revoked; the one that opens everything is returned."""
    command("keys", "create", "web-shop", "--use-case", NAME, "--rate", "50", "--json")
    gone = json.loads(command("keys", "create", "reports", "--use-case", NAME, "--days", "30", "--json"))
    made = json.loads(command("keys", "create", "reports", "--use-case", "*", "--json"))
    command("keys", "revoke", gone["id"])
    return str(made["key"])


def answers(workspace: Workspace, key: str) -> tuple[int, int]:
    """Let the API answer for two households, which its log keeps; the second is to be erased later."""
    entity, erased = workspace.some_entities(workspace.catalog.use_case(NAME), 2)
    paths = [f"/v1/use-cases/{NAME}/predictions/{one}" for one in (entity, erased, entity)]
    found = asyncio.run(
        asked(workspace.platform.settings, workspace.catalog, key, [("GET", path, None) for path in paths])
    )
    assert [status for status, _ in found] == [200, 200, 200]
    assert isinstance(entity, int)
    assert isinstance(erased, int)
    return entity, erased


def paused(workspace: Workspace, days: DayRange) -> None:
    """A backfill that somebody pauses after its tables."""
    view = workspace.view
    ordered = backfill_record.order(view, workspace.catalog.use_case(NAME), days, only_tables=False)
    for _ in carry_out(workspace, ordered):
        backfill_record.pause(view, ordered.id)


def killed_publish(workspace: Workspace) -> None:
    """A publish of the features that has begun and never ended: it still holds the right to write."""
    writer = workspace.instance.get_runs(limit=1)[0].run_id
    Publication.begin(workspace.platform.store, f"{NAME}.features", writer=writer)


def broken_delivery(workspace: Workspace, landing: Path, day: date) -> None:
    """The newest day arrives as half a file, catching up fails on it twice, and then the whole file arrives."""
    file = transactions(landing, day)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):  # the first makes another table of the day, so it is by the second that attempts are counted
        request = sensor(workspace, f"{NAME}_catch_up").run_requests[0]
        assert request.partition_key == str(day)
        keys, days = request.asset_selection or (), days_of(request.tags)
        assert not run_assets(workspace.defs, workspace.instance, keys, days, tags=request.tags).success
    file.write_bytes(whole)


def sensor(workspace: Workspace, name: str) -> Any:
    """What a sensor says now."""
    repository = workspace.defs.get_repository_def()
    with dg.build_sensor_context(instance=workspace.instance, repository_def=repository, sensor_name=name) as context:
        return repository.get_sensor_def(name).evaluate_tick(context)


def look_for_alerts(workspace: Workspace) -> None:
    """One look of the sensor `alerts`, some seconds later."""
    soon = datetime.now(UTC) + timedelta(seconds=10)
    assert look(workspace.instance, workspace.platform, workspace.defs.resolve_asset_graph(), soon)


def people(workspace: Workspace) -> None:
    """Somebody takes an incident, silences a table, stops a schedule; the arrivals are remembered by their sensor."""
    first = json.loads(command("alerts", "--json", codes=(0, 1)))["incidents"][0]["incident"]
    command("alerts", "ack", first, "--reason", "Asked upstream.")
    command("alerts", "silence", "raw/coupon_redemptions", "--hours", "700", "--reason", "A feast.")
    arrivals = sensor(workspace, "complete_journey_arrivals")
    with_location(workspace.instance, lambda repository: _switches(workspace.instance, repository, arrivals.cursor))


def _switches(instance: dg.DagsterInstance, repository: Any, cursor: str) -> None:
    schedule = repository.get_schedule(f"{NAME}_training_schedule")
    instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
    arrivals = repository.get_sensor("complete_journey_arrivals")
    now = datetime.now(UTC).timestamp()
    data = SensorInstigatorData(last_tick_timestamp=now, cursor=cursor, sensor_type=arrivals.sensor_type)
    declared = (arrivals.get_remote_origin(), InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE)
    instance.add_instigator_state(InstigatorState(*declared, data))


def with_location(instance: dg.DagsterInstance, act: Callable[[Any], None]) -> None:
    """Act on the repository as the daemon loads it, under the name that workspace.yaml gives its code location."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="serving_assets.definitions")
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name=LOCATION)
    with create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget([origin]), instance) as context:
        (entry,) = context.create_request_context().get_code_location_entries().values()
        assert entry.code_location is not None, entry.load_error
        (repository,) = entry.code_location.get_repositories().values()
        act(repository)
