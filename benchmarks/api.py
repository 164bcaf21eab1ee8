"""What one worker of the prediction API on one core answers a second, beside Feast and MLflow on the same core.

Here: the command, the servers and the requests. Not here: pinning and measuring (load.py), the table (api_table.py).
Run it after `make demo` as `python -m benchmarks.api`; it needs wrk and taskset, and Java and Maven for MongoDB.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from deltalake import DeltaTable

from benchmarks.api_table import Measured, printed
from benchmarks.load import Ask, Server, free_port, served
from serving_assets.settings import PROJECT
from serving_assets.store import DocumentChange, PublishTarget, open_store, publish, total_digest
from tests.mongo_server import own_server

NAME = "purchase_propensity"
ROOT = f"/v1/use-cases/{NAME}"
RIVALS = Path(__file__).parent / "rivals"
MANY, FEW = 16, 4
"""Connections: for single questions, and for batches."""
BATCHES = 50


@dataclass(frozen=True)
class Case:
    """Requests that are measured together, and by how many connections they are sent."""

    what: str
    asks: Sequence[Ask]
    connections: int = MANY


@dataclass(frozen=True)
class Workspace:
    """What the demo has left in `data`: published predictions, models, and the features of the newest day."""

    data: Path
    scores: dict[int, float]
    features: list[dict[str, Any]]

    @classmethod
    def of(cls, data: Path) -> Workspace:
        """The workspace in a folder."""
        with open_store(f"sqlite:///{data / 'online.db'}") as store:
            documents = list(store.every_document(NAME))
        scores = {int(one.entity): json.loads(one.cur)["v"]["score"] for one in documents if one.cur}
        signature = json.loads(next((data / "bundles" / NAME).glob("*/signature.json")).read_text())
        table = DeltaTable(str(data / "lake" / NAME / "features")).to_pyarrow_table()
        newest = table.filter(pc.equal(table["day"], pc.max(table["day"])))
        return cls(data, scores, newest.select([one["name"] for one in signature["features"]]).to_pylist())

    @property
    def ids(self) -> list[int]:
        """Everybody with a published prediction, shuffled."""
        return random.Random(1).sample(sorted(self.scores), len(self.scores))

    def batches(self, size: int) -> list[list[int]]:
        """Some batches of ids."""
        draw = random.Random(size)
        return [draw.sample(sorted(self.scores), size) for _ in range(BATCHES)]


def lookups(workspace: Workspace, how: str) -> list[Case]:
    """One id, a hundred, a thousand."""
    one = [Ask(f"{ROOT}/predictions/{id}") for id in workspace.ids]
    sizes = [Case(f"look-up of {size:,}, {how}", _batch_get(workspace, size), FEW) for size in (100, 1_000)]
    return [Case(f"look-up of one, {how}", one), *sizes]


def _batch_get(workspace: Workspace, size: int) -> list[Ask]:
    return [Ask(f"{ROOT}/predictions:batchGet", json.dumps({"ids": ids})) for ids in workspace.batches(size)]


def scores(workspace: Workspace) -> list[Case]:
    """The champion on features of the request, on features of the store, and who has which answer."""
    brought = [_score(features=row) for row in workspace.features[:500]]
    stored = [_score(entity_id=id, features={"days_since_last_purchase": 0}) for id in workspace.ids]
    basket = {
        "basket_value": 31.5,
        "basket_items": 9,
        "basket_departments": 3,
        "hour": 17,
        "weekday": 5,
        "store": "367",
    }
    known = {False: workspace.ids, True: range(10_000_000, 10_010_000)}
    hybrid = [_score(entity_id=known[n % 5 == 0][n], features=basket) for n in range(len(workspace.ids))]
    return [
        Case("score, all features in the request", brought),
        Case("score, features of the store and one of the request", stored),
        Case("hybrid: four of five are known, the fifth gets the fallback", hybrid),
    ]


def _score(**body: Any) -> Ask:
    return Ask(f"{ROOT}/score", json.dumps(body))


@contextmanager
def ours(workspace: Workspace, log: Path, **settings: str) -> Iterator[Server]:
    """One worker of the API."""
    port = free_port()
    command = [sys.executable, "-c", "from serving_assets.cli import app; app()", "api", "--port", str(port)]
    environment = {"DATA_DIR": str(workspace.data), **settings}
    with served(command, port, "/readyz", environment=environment, log=log, cwd=PROJECT) as server:
        yield server


@contextmanager
def feast(workspace: Workspace, binaries: Path, folder: Path) -> Iterator[Server]:
    """Feast's server over its SQLite store with the same predictions."""
    table = pa.table({"household_id": list(workspace.scores), "score": list(workspace.scores.values())})
    now = pa.scalar(1_700_000_000_000_000, pa.timestamp("us", "UTC"))
    pq.write_table(table.append_column("as_of", pa.repeat(now, len(table))), folder / "predictions.parquet")
    repository, port = folder / "feast", free_port()
    made = [binaries / "python", RIVALS / "feast_store.py", repository, folder / "predictions.parquet"]
    subprocess.run(made, check=True, env={"PATH": str(binaries), "FEAST_USAGE": "False"}, capture_output=True)
    command = [
        "feast",
        "serve",
        "--port",
        str(port),
        "--no-access-log",
        "--workers",
        "1",
        "--max-requests",
        "100000000",
    ]
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "FEAST_USAGE": "False"}
    with served(command, port, "/health", environment=environment, log=folder / "feast.log", cwd=repository) as server:
        yield server


def feast_cases(workspace: Workspace) -> list[Case]:
    """The same look-ups."""
    sizes = [Case(f"look-up of {size:,}", [*map(feast_ask, workspace.batches(size))], FEW) for size in (100, 1_000)]
    return [Case("look-up of one", [feast_ask([id]) for id in workspace.ids]), *sizes]


def feast_ask(ids: list[int]) -> Ask:
    """Their scores, asked of Feast."""
    return Ask(
        "/get-online-features",
        json.dumps({"features": ["predictions:score"], "entities": {"household_id": ids}}),
    )


@contextmanager
def mlflow(workspace: Workspace, binaries: Path, folder: Path) -> Iterator[Server]:
    """MLflow's server of the same model."""
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", f"models:/{NAME}@champion", "--env-manager", "local"]
    command += ["--port", str(port), "--workers", "1"]
    tracking = f"sqlite:///{workspace.data / 'mlflow' / 'mlflow.db'}"
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "MLFLOW_TRACKING_URI": tracking}
    with served(command, port, "/ping", environment=environment, log=folder / "mlflow.log", cwd=folder) as server:
        yield server


def mlflow_ask(row: dict[str, Any]) -> Ask:
    """One row to score."""
    values = [None if value is None else float(value) for value in row.values()]
    return Ask("/invocations", json.dumps({"dataframe_split": {"columns": list(row), "data": [values]}}))


def copied(workspace: Workspace, uri: str) -> None:
    """Publish to another store what the demo has published."""
    with open_store(f"sqlite:///{workspace.data / 'online.db'}") as source, open_store(uri) as sink:
        for name in source.collections():
            control = source.control(name)
            assert control is not None and control.published is not None
            texts = {one.entity: one.cur for one in source.every_document(name) if one.cur}
            about = control.published
            digest = total_digest(texts.items())
            target = PublishTarget(
                about.as_of, about.model_version, about.snapshot_version, len(texts), digest, "benchmark"
            )
            publish(
                sink, name, [DocumentChange(id, None, text) for id, text in texts.items()], target, writer="benchmark"
            )


def environment(name: str, root: Path) -> Path:
    """The programs of a rival's own environment, made once with the versions that its file pins."""
    made = root / name
    if not (made / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", made], check=True)
        pip = [made / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, "-r", RIVALS / f"{name}.txt"], check=True)
        (made / "ready").touch()
    return made / "bin"


def agree(workspace: Workspace, api: Server, rival: Server) -> None:
    """Prove that MLflow's server and ours serve the same model: equal scores, to six digits, for some rows."""
    for row in workspace.features[:20]:
        ((_, score),) = rival.ask(mlflow_ask(row))["predictions"]
        if abs(api.ask(_score(features=row))["prediction"]["score"] - score) > 1e-6:
            raise RuntimeError("the two servers do not score alike")


def same(workspace: Workspace, rival: Server) -> None:
    """Prove that Feast's server has what is published."""
    ids = workspace.batches(100)[0]
    found = rival.ask(feast_ask(ids))["results"][1]["values"]
    if found != [workspace.scores[id] for id in ids]:
        raise RuntimeError("Feast does not serve what is published")


def measured(server: Server, name: str, cases: Sequence[Case], seconds: int) -> Iterator[Measured]:
    """What `server` does for each case."""
    for case in cases:
        report = server.measure(case.asks, connections=case.connections, seconds=seconds)
        typer.echo(f"{name}: {case.what}: {report.rate:,.0f}/s, p99 {report.p99:.1f} ms", err=True)
        yield Measured(name, case.what, case.connections, report, server.peak())


def everything(workspace: Workspace, environments: Path, folder: Path, seconds: int) -> list[Measured]:
    """All servers, one after the other."""
    found: list[Measured] = []
    with ours(workspace, folder / "warm.log") as api:
        found += measured(api, "serving-assets", [*lookups(workspace, "cached"), *scores(workspace)], seconds)
        rival = environment("mlflow", environments)
        with mlflow(workspace, rival, folder) as server:
            agree(workspace, api, server)
            asks = [mlflow_ask(row) for row in workspace.features[:500]]
            found += measured(server, "MLflow", [Case("score, all features in the request", asks)], seconds)
    with ours(workspace, folder / "cold.log", API_CACHE_MB="0") as api:
        found += measured(api, "serving-assets", lookups(workspace, "read from SQLite"), seconds)
    with feast(workspace, environment("feast", environments), folder) as server:
        same(workspace, server)
        found += measured(server, "Feast", feast_cases(workspace), seconds)
    with own_server() as database:
        copied(workspace, f"{database.uri}/benchmark")
        with ours(workspace, folder / "mongo.log", API_CACHE_MB="0", MONGODB_URI=f"{database.uri}/benchmark") as api:
            found += measured(api, "serving-assets", lookups(workspace, "read from MongoDB"), seconds)
    return found


def main(
    data: Annotated[Path, typer.Option(help="The demo's DATA_DIR.")] = PROJECT / "data",
    environments: Annotated[Path, typer.Option(help="Where rivals are installed.")] = PROJECT / ".cache" / "rivals",
    seconds: Annotated[int, typer.Option(min=1, help="Seconds of each measurement.")] = 8,
) -> None:
    """Measure all servers and print the tables."""
    missing = [tool for tool in ("wrk", "taskset") if not shutil.which(tool)]
    if missing or not (data / "online.db").exists():
        raise SystemExit(f"Needed first: {' and '.join(missing) or 'make demo'}.")
    with tempfile.TemporaryDirectory(prefix="serving-assets-api-") as folder:
        found = everything(Workspace.of(data.resolve()), environments, Path(folder), seconds)
    print("\n".join(printed(found)))


if __name__ == "__main__":
    typer.run(main)
