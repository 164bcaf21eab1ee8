"""The UI's own processes over a finished workspace: webserver, daemon, code server, and a run that they launch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving_assets.settings import PROJECT
from tests.pipeline.slice import DAY, NAME, Bench

PATIENCE = 480
HERE = {"repositoryName": "__repository__", "repositoryLocationName": "serving_assets"}
ASSETS = """{ assetNodes {
    assetKey { path } groupName description owners { __typename } kinds
    assetMaterializations(limit: 1) { metadataEntries { label } }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } }
} }"""
SCHEDULES = """query($at: RepositorySelector!) { schedulesOrError(repositorySelector: $at) {
    ... on Schedules { results { name scheduleState { status } } }
} }"""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status stepStats { stepKey status } } } }"""


class DagsterDev:
    """A running `dagster dev`, asked over HTTP as the UI does."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data that GraphQL answers with."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        assert not found.get("errors"), found["errors"]
        data: dict[str, Any] = found["data"]
        return data


@pytest.fixture
def dagster_dev(bench: Bench) -> Iterator[DagsterDev]:
    """`dagster dev` as `make ui` starts it, on a free port; all its processes are gone afterwards."""
    home = bench.root / "dagster"
    (home / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "DATA_DIR": str(bench.settings.data_dir), "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", "workspace.yaml", "--port", str(port)]
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for_port(port, process, home / "dev.log")
        yield DagsterDev(port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.long
@pytest.mark.must_run
@pytest.mark.timeout(900)
def test_the_ui_shows_everything_and_its_daily_run_succeeds(dagster_dev: DagsterDev, bench: Bench) -> None:
    """All assets show what they are, and a day launched in the UI runs through queue, worker and step processes."""
    nodes = {"/".join(node["assetKey"]["path"]): node for node in dagster_dev.ask(ASSETS)["assetNodes"]}
    assert all(n["groupName"] and n["description"] and n["owners"] and n["kinds"] for n in nodes.values())
    (made,) = nodes[f"{NAME}/predictions"]["assetMaterializations"]
    assert {"rows", "seconds", "score_histogram"} <= {entry["label"] for entry in made["metadataEntries"]}
    checks = nodes[f"{NAME}/latest"]["assetChecksOrError"]["checks"]
    assert {check["executionForLatestMaterialization"]["status"] for check in checks} == {"SUCCEEDED"}
    schedules = dagster_dev.ask(SCHEDULES, at=HERE)["schedulesOrError"]["results"]
    assert {f"{NAME}_daily_schedule", f"{NAME}_training_schedule"} <= {s["name"] for s in schedules}
    assert {schedule["scheduleState"]["status"] for schedule in schedules} == {"RUNNING"}

    tags = [{"key": "dagster/partition", "value": str(DAY)}]
    params = {"selector": {"jobName": f"{NAME}_daily", **HERE}, "executionMetadata": {"tags": tags}}
    launched = dagster_dev.ask(LAUNCH, p={**params, "runConfigData": "{}"})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = _finished(dagster_dev, launched["run"]["runId"])
    assert run["status"] == "SUCCESS", [s for s in run["stepStats"] if s["status"] != "SUCCESS"]
    assert len(bench.rows("historic", "DISTINCT run_id", f"scored_for = DATE '{DAY}'")) == 2


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"dagster dev has ended: {log.read_text()[-2_000:]}"
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(f"dagster dev does not answer on port {port}: {log.read_text()[-2_000:]}")


def _finished(dagster_dev: DagsterDev, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        run: dict[str, Any] = dagster_dev.ask(RUN, id=run_id)["runOrError"]
        if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} or time.monotonic() > deadline:
            return run
        time.sleep(0.5)
