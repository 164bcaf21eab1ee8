"""Kill the process that alerts, again and again, while checks of real runs fail and pass; count what the receiver got.

    python -m benchmarks.alert_kills --kills 200

Here: the runs, the kills, the receiver that fails at times, and the counts. Not here: a limit on what is counted;
tests/faults/test_alert_kills.py has those, for a few kills.

The process that is killed does what the sensor does: it looks at a Dagster instance, keeps incidents in SQLite, and
sends them to a webhook and to PagerDuty's protocol over HTTP. It is forked from one that has imported everything:
starting Python and Dagster takes longer than a life of it lasts here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.catalog.discovery import Catalog
from serving_assets.pipeline.observing.alert_sensor import look
from serving_assets.pipeline.observing.findings_from_runs import SETTLED_SECONDS
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings

CHECKS = 4
LOOK_SECONDS, STEP_SECONDS = 0.05, 0.05
SHARE_IN_RUNS = 0.1
SHARE_REFUSED, SHARE_LOST = 0.15, 0.1
SETTLING_LOOKS = 200
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Count:
    """What the receiver got of the incidents that there were.

    `opened` and `resolved` count notices by their keys, `requests` every request that was taken in. `deduplicated` are
    requests whose key had been taken in before: what a channel that knows keys shows once.
    """

    kills: int
    incidents: int
    opened: int
    resolved: int
    lost: int
    doubled: int
    requests: int
    refused: int
    deduplicated: int
    pages_opened: int
    pages_resolved: int
    seconds: float


class _World:
    """A Dagster instance with a few checked assets, whose checks fail when told to."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, random.Random(seed)
        self.failing: dict[str, bool] = {f"a{n}": False for n in range(CHECKS)}
        (root / "dagster").mkdir(parents=True)
        self.assets = [self._asset(name) for name in self.failing]
        self.defs = dg.Definitions(assets=self.assets)
        self.incidents = 0

    @property
    def instance(self) -> dg.DagsterInstance:
        """Opened anew by every process."""
        return dg.DagsterInstance.local_temp(str(self.root / "dagster"), overrides={"telemetry": {"enabled": False}})

    def _asset(self, name: str) -> dg.AssetsDefinition:
        def made() -> dg.MaterializeResult[None]:
            severity = dg.AssetCheckSeverity.ERROR
            return dg.MaterializeResult(
                check_results=[
                    dg.AssetCheckResult(passed=not self.failing[name], check_name="sound", severity=severity)
                ]
            )

        made.__annotations__ = {}  # Dagster compares classes, and meets a string otherwise
        return dg.asset(name=name, check_specs=[dg.AssetCheckSpec("sound", asset=name)])(made)

    def step(self, instance: dg.DagsterInstance) -> None:
        """Evaluate one check, which begins to fail, fails on, or passes again."""
        name = self.random.choice(list(self.failing))
        was, self.failing[name] = self.failing[name], self.random.random() < 0.6
        self.incidents += self.failing[name] and not was
        self._tell(instance, name)
        time.sleep(STEP_SECONDS)

    def end(self, instance: dg.DagsterInstance) -> None:
        """Make everything well again."""
        for name in [name for name, fails in self.failing.items() if fails]:
            self.failing[name] = False
            self._tell(instance, name)

    def _tell(self, instance: dg.DagsterInstance, name: str) -> None:
        """Evaluate the check: in a run, or, which is cheaper, outside of one."""
        if self.random.random() >= SHARE_IN_RUNS:
            passed, key = not self.failing[name], dg.AssetKey(name)
            evaluation = dg.AssetCheckEvaluation(asset_key=key, check_name="sound", passed=passed)
            instance.report_runless_asset_event(evaluation)
            return
        made = dg.materialize(self.assets, selection=[name], instance=instance, raise_on_error=False, run_config=_QUIET)
        assert made.success


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def drill(kills: int, seed: int, root: Path) -> Count:
    """Let the world go on until the process was killed so often, then fix all, and count when nothing is due."""
    began = time.monotonic()
    world, chance = _World(root / "world", seed), random.Random(seed + 1)
    log = root / "received.jsonl"
    port, receiver = _receiver(log, seed)
    (root / "alerts.yaml").write_text(
        f'channels:\n  hook: {{webhook: {{url: "http://127.0.0.1:{port}/hook", secret: 0123456789abcdef}}}}\n'
        f'  pager: {{pagerduty: {{routing_key: r, url: "http://127.0.0.1:{port}/pager"}}}}\n'
        "default: {notify: [hook, pager]}\nescalate_after: 7d\n"
    )
    settings = Settings(data_dir=root / "data", alerts_config=root / "alerts.yaml")
    instance = world.instance
    try:
        _live(settings, world, looks=1)  # the first look ever only finds out where the log ends
        for _ in range(kills):
            life = FORK.Process(target=_live, args=(settings, world))
            life.start()
            killed_at = time.monotonic() + chance.uniform(0.02, 0.6)
            while time.monotonic() < killed_at:
                world.step(instance)
            os.kill(life.pid or 0, signal.SIGKILL)
            life.join()
        world.end(instance)
        _settle(settings, world)
    finally:
        receiver.kill()  # a forked process may have taken over a handler of SIGTERM
        receiver.join()
    return _counted(log, kills, world.incidents, time.monotonic() - began)


def _live(settings: Settings, world: _World, looks: int | None = None) -> None:
    """Look, as the sensor does, for so many times or for ever."""
    platform = Platform(settings, Catalog(settings.data_dir, {}, {}, {}))
    graph, instance = world.defs.resolve_asset_graph(), world.instance
    while looks is None or looks > 0:
        look(instance, platform, graph, datetime.now(UTC))
        looks = looks - 1 if looks is not None else None
        time.sleep(LOOK_SECONDS)


def _settle(settings: Settings, world: _World) -> None:
    """Look on until nothing is open and nothing is due; retries wait up to minutes, so their waiting is cut short."""
    book = IncidentStore(AlertsFile(settings.alerts_file))
    time.sleep(SETTLED_SECONDS)  # until then the newest events are too young to be read
    for _ in range(SETTLING_LOOKS):
        _live(settings, world, looks=1)
        if not book.incidents() and not book.outbox.undelivered(0):
            return
        with book.file.writing() as connection:
            connection.execute("UPDATE deliveries SET due = 0 WHERE state = 'pending'")
    raise RuntimeError(f"After {SETTLING_LOOKS} looks {len(book.incidents())} incidents are still open or untold.")


def _receiver(log: Path, seed: int) -> tuple[int, multiprocessing.process.BaseProcess]:
    ours, its = FORK.Pipe()
    process = FORK.Process(target=_receive, args=(log, seed, its), daemon=True)
    process.start()
    return int(ours.recv()), process


def _receive(log: Path, seed: int, port: object) -> None:
    """Take in most requests, refuse some, and let the answer to some get lost; one line of the log for each."""
    chance = random.Random(seed + 2)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fate = chance.random()
            taken_in = fate >= SHARE_REFUSED
            line = {"path": self.path, "key": self.headers["Idempotency-Key"], "taken_in": taken_in, "body": body}
            with log.open("a") as lines:
                lines.write(json.dumps(line) + "\n")
            if taken_in and fate < SHARE_REFUSED + SHARE_LOST:
                self.close_connection = True
                return
            with suppress(OSError):  # whoever asked may have been killed meanwhile
                self.send_response(202 if taken_in else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])  # type: ignore[attr-defined]
    server.serve_forever()


def _counted(log: Path, kills: int, incidents: int, seconds: float) -> Count:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    taken_in = [line for line in lines if line["taken_in"]]
    hook = [line for line in taken_in if line["path"] == "/hook"]
    notices = {line["key"]: (line["body"]["incident"], line["body"]["event"]) for line in hook}
    opened, resolved = _of(notices.values(), "opened"), _of(notices.values(), "resolved")
    pages = _pages([line["body"] for line in taken_in if line["path"] == "/pager"])
    return Count(
        kills=kills,
        incidents=incidents,
        opened=sum(opened.values()),
        resolved=sum(resolved.values()),
        lost=2 * incidents - len(opened) - len(resolved),
        doubled=sum(opened.values()) + sum(resolved.values()) - len(opened) - len(resolved),
        requests=len(lines),
        refused=len(lines) - len(taken_in),
        deduplicated=len(hook) - len(notices),
        pages_opened=pages["trigger"],
        pages_resolved=pages["resolve"],
        seconds=seconds,
    )


def _of(notices: Iterable[tuple[str, str]], event: str) -> Counter[str]:
    return Counter(incident for incident, its_event in notices if its_event == event)


def _pages(events: list[dict[str, str]]) -> Counter[str]:
    """How often PagerDuty's own rule makes an alert of a key begin and end: what repeats its state changes nothing."""
    state: dict[str, str] = {}
    changes: Counter[str] = Counter()
    for event in events:
        key, action = event["dedup_key"], event["event_action"]
        if state.get(key) != action and (key in state or action == "trigger"):
            changes[action] += 1
            state[key] = action
    return changes


def main() -> None:
    """Print the counts as a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    root = Path(tempfile.mkdtemp(prefix="alert-kills-"))
    try:
        count = drill(given.kills, given.seed, root)
    finally:
        shutil.rmtree(root)
    print("| what | count |\n| --- | --- |")
    for name, value in vars(count).items():
        print(f"| {name.replace('_', ' ')} | {value:,.0f} |")


if __name__ == "__main__":
    main()
