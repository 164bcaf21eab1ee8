"""What the command says and how it exits: 0 done, 1 failed, 2 called wrongly; no traceback for what can be met."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from serving_assets.cli import app
from tests.e2e.command import call, run
from tests.pipeline.slice import DAY, NAME, Bench, copy_of

pytestmark = pytest.mark.timeout(600)
"""The first test also builds the slice."""

COMMANDS = [[], ["demo"], ["demo", "land"], ["show"], ["status"], ["train"], ["backfill"], ["backfills"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "itself")
def test_help_teaches(command: list[str]) -> None:
    """Every command explains itself and each of its options."""
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    options = [line.split() for line in result.output.splitlines() if line.lstrip("│ *").startswith("--")]
    assert options
    assert all(len(words) > 4 for words in options if "--help" not in words), options


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["show"], ["backfill", "--from", "2017-05-30"], ["backfill", "--from", "x", "--to", "2017-05-30"]],
    ids=" ".join,
)
def test_a_wrong_call_exits_with_2(arguments: list[str]) -> None:
    """A call that cannot be understood exits with 2, before anything is opened."""
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.fixture(scope="module")
def untouched(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A workspace for commands that change nothing in it."""
    return copy_of(built, tmp_path_factory.mktemp("untouched") / "bench")


def test_what_is_published_is_shown(untouched: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`show` and `status` print JSON for scripts, and a household without a prediction exits 1."""
    next_day = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC).timestamp()
    monkeypatch.setattr("serving_assets.commands.show.time", SimpleNamespace(time=lambda: next_day))
    known = untouched.rows("latest", "household_id, score")[0]
    shown = call(untouched, "show", NAME, str(known["household_id"]), "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["score"] == round(float(str(known["score"])), 4)
    assert {"as_of", "model_version", "generation"} <= found.keys()
    status = call(untouched, "status", NAME, "--json")
    (state,) = json.loads(status.stdout)
    errors = [check for check in state["failing_checks"] if check["severity"] == "ERROR"]
    assert (status.returncode, state["champion"], errors) == (0, "1", [])
    assert state["stages"][f"{NAME}/predictions"] == str(DAY)
    assert call(untouched, "show", NAME, "999999999").returncode == 1


@pytest.mark.long
def test_a_bad_day_is_named_and_can_be_mended(bench: Bench) -> None:
    """A backfill over a truncated file exits 1 naming it and does the other days; resumed after the fix it exits 0."""
    (file,) = (bench.settings.landing / "transactions" / f"dt={DAY - timedelta(days=1)}").iterdir()
    whole = file.read_bytes()
    days = ["--from", str(DAY - timedelta(days=2)), "--to", str(DAY), "--use-case", NAME, "--json"]
    file.write_bytes(whole[: len(whole) // 2])
    failed = run(bench, "backfill", *days)
    assert failed.returncode == 1, failed.stderr
    ((run_of_tables,),) = (found["failed"] for found in json.loads(failed.stdout))
    assert run_of_tables["days"] == [str(DAY - timedelta(days=1))] * 2
    assert any(file.name in why for why in run_of_tables["why"])
    file.write_bytes(whole)
    (state,) = json.loads(run(bench, "backfills", "--json").stdout)
    assert (state["state"], state["tables"], state["scored"], state["published"]) == ("ended", 2, 2, True)
    fixed = run(bench, "backfills", "resume", state["backfill"], "--json")
    assert fixed.returncode == 0, fixed.stderr
    assert json.loads(fixed.stdout)["failed"] == []
    shown = run(bench, "backfills", "show", state["backfill"])
    assert "3/3" in shown.stdout
    assert "failed" not in shown.stdout.splitlines()[1]
    assert {row["scored_for"] for row in bench.rows("historic", "DISTINCT scored_for")} == {
        DAY - timedelta(days=back) for back in range(3)
    }
    assert run(bench, "backfills", "pause", state["backfill"]).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["show", "nope", "1"], {}, ["nope", NAME]),
        (["show", NAME, "abc"], {}, ["abc", "household_id"]),
        (["backfill", "--from", "2016-05-31", "--to", "2016-05-31"], {}, ["2016-05-31", "2017-01-01"]),
        (["backfill", "--from", str(DAY), "--to", str(DAY)], {"LANDING_URI": "/no/such"}, ["/no/such", "LANDING_URI"]),
        (["status"], {"ENGINE_THREADS": "many"}, ["ENGINE_THREADS", "settings.env"]),
        (["status"], {"DAGSTER_HOME": "/no/such"}, ["DAGSTER_HOME", "dagster.yaml"]),
        (["status"], {"CATALOG_DIR": "/no/such"}, ["/no/such", "CATALOG_DIR"]),
        (["status"], {"STORE_URI": "carrier-pigeon://loft"}, ["carrier-pigeon", "sqlite"]),
        (["status"], {"DATA_DIR": f"{__file__}/inside"}, ["inside", "Not a directory"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_set_wrongly_is_told(
    untouched: Bench, arguments: list[str], environment: dict[str, str], told: list[str]
) -> None:
    """A wrong argument or setting exits 1 and names what is wrong and the fix, in words."""
    failed = call(untouched, *arguments, **environment)
    said = failed.stdout + failed.stderr
    assert failed.returncode == 1, said
    assert all(word in said for word in told), said


def test_a_broken_store_is_told(bench: Bench) -> None:
    """A store that is no database is named, without a traceback."""
    for file in bench.settings.data_dir.glob("online.db*"):
        file.unlink()
    (bench.settings.data_dir / "online.db").write_bytes(b"no database" * 100)
    shown = run(bench, "show", NAME, "4")
    assert (shown.returncode, "online.db" in shown.stderr, "Traceback" in shown.stderr) == (1, True, False)


def test_a_broken_registry_is_told(bench: Bench) -> None:
    """A registry that is no database is named by `status`, and one that is gone by what needs a model."""
    (bench.settings.mlflow_dir / "mlflow.db").write_bytes(b"no database" * 100)
    status = call(bench, "status")
    assert status.returncode == 0
    assert "unknown" in status.stdout
    assert "mlflow.db" in status.stdout
    _forget_models(bench.settings.mlflow_dir, bench.settings.bundles_dir)
    scored = call(bench, "backfill", "--from", str(DAY), "--to", str(DAY))
    assert (scored.returncode, "no champion" in scored.stdout) == (1, True)


def _forget_models(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
