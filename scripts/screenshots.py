"""Pictures of the Dagster UI for the README: the asset graph, and a check that has failed.

    python -m scripts.screenshots        # make screenshots

Here: a demo workspace of its own, a delivery that lacks half of its rows, `dagster dev`, and a headless browser. Not
here: the demo, or the checks.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import duckdb
from PIL import Image

from serving_assets.settings import PROJECT
from tests.serving.browser import NAMES, Page, blank_page

IMAGES = PROJECT / "docs" / "images"
COMMAND = [sys.executable, "-c", "from serving_assets.cli import app; app()"]
NAME, SOURCE, TABLE, CHECK = "purchase_propensity", "transactions", "baskets", "volume"
EXPANDED = (NAME,)
"""Groups of the graph that are open: one lane for each use case and each domain."""
SECONDS = 300
SETTLE_SECONDS = 15
"""For statuses, layout and animations, on a machine that runs two daemons and a browser."""
COLOURS = 128
HIDE_LIST = "document.querySelector('button [aria-label=panel_show_right]').closest('button').click()"


def main() -> None:
    """Make the workspace, take the graph's picture, break the newest delivery, and take the check's."""
    if not any(map(shutil.which, NAMES)):
        raise SystemExit(
            "The pictures need a browser, and none of " + ", ".join(NAMES) + " is on the PATH.\n"
            "Install Chromium (Debian and Ubuntu: apt-get install chromium) and run this again."
        )
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        environment = workspace(root)
        with served(environment, root / "dagster.log") as address:
            with browser(root / "graph") as page:
                graph(page, address)
            break_delivery(root, environment)
            with browser(root / "check") as page:
                failed_check(page, address)


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser of its own: one that waits for minutes loses its connection."""
    folder.mkdir()
    with blank_page(folder) as page:
        yield page


def workspace(root: Path) -> dict[str, str]:
    """A demo of its own; returns the environment that leads to it."""
    (root / "home").mkdir()
    settings = (PROJECT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8")
    (root / "home" / "dagster.yaml").write_text(settings, encoding="utf-8")
    environment = {**os.environ, "DATA_DIR": str(root / "data"), "DAGSTER_HOME": str(root / "home")}
    subprocess.run([*COMMAND, "demo"], env=environment, check=True)
    return environment


def break_delivery(root: Path, environment: dict[str, str]) -> None:
    """Let the newest day have come with half of its baskets, and run it again: the check must stop it.

    Raises:
        RuntimeError: it does not.
    """
    delivery = sorted((root / "data" / "landing" / SOURCE).iterdir())[-1]
    for file in delivery.glob("*.parquet"):
        rows = f"SELECT * FROM read_parquet('{file}', hive_partitioning = false) WHERE basket_id % 2 = 0"
        duckdb.execute(f"COPY ({rows}) TO '{file}.half' (FORMAT parquet)")
        Path(f"{file}.half").replace(file)
    day = delivery.name.removeprefix("dt=")
    again = [*COMMAND, "backfill", "--from", day, "--to", day, "--use-case", NAME]
    if subprocess.run(again, env=environment, check=False).returncode != 1:
        raise RuntimeError("Half of the baskets should have stopped the day, and did not.")


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


def graph(page: Page, address: str) -> None:
    """The asset graph from left to right: one use case open, the others and the domains as one box each."""
    page.resize(1640, 720, dots=2)
    narrow_navigation(page, address)
    groups = quote(",".join(f"global@global:{group}" for group in EXPANDED), safe="")
    page.open(f"{address}/asset-groups?expanded={groups}")
    page.wait_for("document.body?.innerText.includes('online_features')")
    page.wait_for(f"({HIDE_LIST}, true)")
    time.sleep(1)
    page.resize(1400, 660, dots=2)  # the graph stays where it was, and the list's place is free
    keep(page, "asset-graph")


def failed_check(page: Page, address: str) -> None:
    """What a failed check says: what it demands, what was found, what was expected, and how it has been."""
    page.resize(1400, 1250, dots=1)
    narrow_navigation(page, address)
    page.open(f"{address}/assets/mapped/{TABLE}?view=checks&checkDetail={CHECK}")
    page.wait_for("document.body?.innerText.includes('Failed')")
    keep(page, "failed-check")


def narrow_navigation(page: Page, address: str) -> None:
    """Let the navigation be icons alone, as the UI remembers it."""
    page.open(f"{address}/favicon.svg")
    page.wait_for("location.host && (localStorage.setItem('dagster-nav-collapsed', 'true'), true)")


def keep(page: Page, name: str) -> None:
    """Write what the page shows once it has settled, in as few colours as it needs."""
    time.sleep(SETTLE_SECONDS)
    picture = Image.open(io.BytesIO(page.picture())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(IMAGES / f"{name}.png", optimize=True)
    sys.stdout.write(f"{IMAGES / name}.png\n")


if __name__ == "__main__":
    main()
