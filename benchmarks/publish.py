"""What publishing costs: a million entities to MongoDB and to SQLite, beside the bare driver and Feast.

Here: the command. Not here: the rows and the publish (publishing_world.py), the floors (publishing_floors.py), what
runs in Feast's environment (rivals/), the counting of bytes (relay.py). Run it as
`python -m benchmarks.publish --help`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer

from benchmarks import publishing_floors, tables
from benchmarks.api import RIVALS, environment
from benchmarks.floors import Floor
from benchmarks.publishing_world import Publish, World, apart
from benchmarks.relay import Relay, relay
from serving_assets.settings import PROJECT, Settings

SHARES = (0.01, 0.1, 1.0)
SERVER_MEMORY = "6g"
FEAST = "feast_mongodb"
MIB = 1 << 20

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Line:
    """One line of the table; `whole` adds the parity check to the publish, where there is one."""

    what: str
    written: int
    seconds: float
    cpu_seconds: float
    whole: float | None = None
    peak_memory_mib: float | None = None
    sent: int | None = None
    received: int | None = None

    def shown(self) -> str:
        """As Markdown."""
        rate = f"{self.written / self.seconds:,.0f}" if self.written else ""
        columns = [self.what, f"{self.written:,}", f"{self.seconds:.2f}", rate, f"{self.cpu_seconds:.2f}"]
        columns.append("" if self.peak_memory_mib is None else f"{self.peak_memory_mib:,.0f}")
        columns += ["" if count is None else f"{count / MIB:,.1f}" for count in (self.sent, self.received)]
        columns.append("" if self.whole is None else f"{self.whole:.2f}")
        return f"| {' | '.join(columns)} |"


HEAD = (
    "what",
    "documents written",
    "seconds",
    "documents/s",
    "CPU seconds",
    "peak memory, MiB",
    "MiB sent",
    "MiB received",
    "seconds with its parity check",
)


@app.command()
def publish(
    entities: Annotated[int, typer.Option(min=1_000, help="Documents of the published snapshot.")] = 1_000_000,
    feast_rows: Annotated[int, typer.Option(help="Rows for Feast to materialize; 0: leave it out.")] = 100_000,
    uri: Annotated[str, typer.Option(help="A MongoDB to measure on; default: the server of scripts/.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the tables into this Markdown file too.")] = None,
) -> None:
    """Measure the stage `online`: first, again unchanged, and with 1 %, 10 % and all predictions changed.

    Each publish is a Dagster run of the stage as it is, in a process of its own, on both stores; `latest` is written
    for the next day before each, so every row of it is new. CPU and memory are the publishing process's. MongoDB is
    reached through a relay that counts bytes, by us, by the bare driver and by Feast alike.
    """
    command = f"python -m benchmarks.publish --entities {entities} --feast-rows {feast_rows}"
    lines = [
        f"`{command}`",
        "",
        tables.machine(Settings().engine_memory),
        f"pymongo {version('pymongo')}; the server is {uri or 'that of scripts/mongodb-server'}.",
    ]
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="publish-")))
        host, _, port = (uri or held.enter_context(_server())).removeprefix("mongodb://").rpartition(":")
        wire = held.enter_context(relay(host, int(port)))
        address = f"mongodb://127.0.0.1:{wire.port}"
        lines += [
            "",
            "## To MongoDB",
            "",
            *_table(_to_mongodb(folder / "mongodb", address, wire, entities, feast_rows)),
        ]
        lines += ["", "## To SQLite", "", *_table(_to_sqlite(folder / "sqlite", entities))]
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _to_mongodb(root: Path, address: str, wire: Relay, entities: int, feast_rows: int) -> Iterator[Line]:
    writers = Settings().mongodb_writers
    for name, again in (("floor of a first one: bare inserts", False), ("floor of all: bare replacements", True)):
        floor, *count = _counted(wire, publishing_floors.bare_bulks, f"{address}/floors", entities, writers, again)
        yield _floor(name, floor, *count)
    if feast_rows:
        told, *count = _counted(wire, _feast, root, address, feast_rows)
        costs = told["seconds"], told["cpu_seconds"], None, told["peak_memory_mib"]
        yield Line("Feast's materialize", feast_rows, *costs, *count)
    yield from _publishes(root, f"{address}/published", entities, wire)


def _to_sqlite(root: Path, entities: int) -> Iterator[Line]:
    floors = {"first": "floor of a first one: bare inserts", "all changed": "floor of all: bare inserts of both slots"}
    for line in _publishes(root, "", entities, None):
        yield line
        if line.what in floors:
            yield _floor(floors[line.what], apart(publishing_floors.bare_inserts, root / "online.db"))


def _publishes(root: Path, uri: str, entities: int, wire: Relay | None) -> Iterator[Line]:
    def line(what: str) -> Line:
        done, *count = _counted(wire, _publish, root, uri)
        written = int(done.facts["changed"] + done.facts["removed"])
        _say(f"{uri.partition(':')[0] or 'sqlite'}: {what} in {done.write.seconds:.2f} s")
        costs = done.write.seconds, done.write.cpu_seconds, done.whole.seconds, done.whole.peak_memory_mib
        return Line(what, written, *costs, *count)

    world = World(root, uri)
    world.write_latest(entities, 0, ())
    yield line("first")
    yield line("unchanged, the same version of latest")
    world.write_latest(entities, 0, ())
    yield line("unchanged, latest written anew")
    for day, share in enumerate(SHARES, start=1):
        world.write_latest(entities, day, SHARES[:day])
        yield line("all changed" if share == 1 else f"{share:.0%} changed")


def _publish(root: Path, uri: str) -> Publish:
    return World(root, uri).publish()


def _feast(root: Path, address: str, rows: int) -> dict[str, Any]:
    root.mkdir(parents=True, exist_ok=True)
    parquet = root / "feast.parquet"
    duckdb.sql(f"""
        COPY (SELECT i + 1 AS household_id, hash(i) % 10_000 / 10_000.0::DOUBLE AS score,
                     TIMESTAMPTZ '2017-11-02 10:00:00+00' AS scored_at FROM range({rows}) AS t(i))
        TO '{parquet}' (FORMAT parquet)
    """)
    python = environment(FEAST, PROJECT / ".cache" / "rivals") / "python"
    command: list[str | Path] = [python, RIVALS / f"{FEAST}.py", parquet, address, str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    _say(f"Feast: {rows:,} rows")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@contextmanager
def _server() -> Iterator[str]:
    """The wire-protocol server for this run, with room for all that is compared."""
    command: list[str | Path] = [PROJECT / "scripts" / "mongodb-server", "--test"]
    environment = {**os.environ, "MONGODB_SERVER_MEMORY": SERVER_MEMORY}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        server.terminate()


def _counted(wire: Relay | None, work: Callable[..., Any], *args: object) -> tuple[Any, int | None, int | None]:
    """What `work`, done apart, returns, and the bytes that it sent and received."""
    if wire is None:
        return apart(work, *args), None, None
    before = wire.counted()
    result = apart(work, *args)
    sent, received = (now - then for now, then in zip(wire.counted(), before, strict=True))
    return result, sent, received


def _floor(what: str, floor: Floor, sent: int | None = None, received: int | None = None) -> Line:
    return Line(what, floor.rows, floor.seconds, floor.cpu_seconds, None, None, sent, received)


def _table(lines: Iterator[Line]) -> list[str]:
    return ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD), *(line.shown() for line in lines)]


def _say(what: str) -> None:
    typer.echo(what, err=True)


if __name__ == "__main__":
    app()
