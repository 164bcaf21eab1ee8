"""Pictures of the Dagster UI for the README: the asset graph, and a check that has failed.

    python -m scripts.screenshots        # make screenshots

Here: a demo workspace of its own, a delivery that lacks half of its rows, `dagster dev`, and a headless browser. Not
here: the demo, or the checks.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import duckdb

from serving_assets.settings import PROJECT
from tests.serving.browser import Page, blank_page

IMAGES = PROJECT / "docs" / "images"
COMMAND = [sys.executable, "-c", "from serving_assets.cli import app; app()"]
NAME, SOURCE, CHECK = "purchase_propensity", "transactions", "volume"
SECONDS = 300
SIZES = {"asset-graph": (1600, 900), "failed-check": (1400, 900)}


def main() -> None:
    """Make the workspace, break its newest delivery, and take the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        root, browser = Path(folder), Path(folder) / "browser"
        browser.mkdir()
        environment = workspace(root)
        with served(environment, root / "dagster.log") as address, blank_page(browser) as page:
            take(page, "asset-graph", f"{address}/asset-groups", "online_features")
            detail = f"{address}/assets/raw/{SOURCE}?view=checks&checkDetail={CHECK}"
            take(page, "failed-check", detail, "against the")


def workspace(root: Path) -> dict[str, str]:
    """A demo whose newest day has come with half of its rows; returns the environment that leads to it."""
    (root / "home").mkdir()
    settings = (PROJECT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8")
    (root / "home" / "dagster.yaml").write_text(settings, encoding="utf-8")
    environment = {**os.environ, "DATA_DIR": str(root / "data"), "DAGSTER_HOME": str(root / "home")}
    subprocess.run([*COMMAND, "demo"], env=environment, check=True)
    delivery = sorted((root / "data" / "landing" / SOURCE).iterdir())[-1]
    for file in delivery.glob("*.parquet"):
        rows = f"(SELECT * FROM '{file}' WHERE basket_id % 2 = 0)"
        duckdb.execute(f"COPY {rows} TO '{file}.half' (FORMAT parquet)")
        Path(f"{file}.half").replace(file)
    day = delivery.name.removeprefix("dt=")
    broken = subprocess.run(
        [*COMMAND, "backfill", "--from", day, "--to", day, "--use-case", NAME], env=environment, check=False
    )
    assert broken.returncode == 1, "half of the rows should stop the day"
    return environment


@contextmanager
def served(environment: dict[str, str], log: Path) -> Iterator[str]:
    """`dagster dev` over the workspace, until the pictures are taken; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(PROJECT / "workspace.yaml")]
    with log.open("w") as file:
        process = subprocess.Popen([*command, "--port", str(port)], env=environment, stdout=file, stderr=file)
    try:
        wait_until_loaded(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_until_loaded(address: str) -> None:
    """Until the code location is there.

    Raises:
        TimeoutError: when it does not come.
    """
    query = json.dumps({"query": "{ assetNodes { id } }"}).encode()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            asked = Request(f"{address}/graphql", query, {"Content-Type": "application/json"})
            if json.load(urlopen(asked, timeout=30))["data"]["assetNodes"]:
                return
        except (URLError, OSError, KeyError, TypeError):
            pass
        time.sleep(1)
    raise TimeoutError(f"{address} shows no asset after {SECONDS} seconds")


def take(page: Page, name: str, address: str, when: str) -> None:
    """A picture of a page, once it shows the words `when` and has settled."""
    width, height = SIZES[name]
    page.resize(width, height)
    page.open(address)
    page.wait_for(f"document.body.innerText.includes({json.dumps(when)})")
    time.sleep(5)  # layout and animations
    (IMAGES / f"{name}.png").write_bytes(page.picture())
    sys.stdout.write(f"{IMAGES / name}.png\n")


if __name__ == "__main__":
    main()
