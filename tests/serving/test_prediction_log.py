"""The prediction log: off unless declared, free of personal data unless declared, never in a request's way."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

from serving_assets.catalog.serve import LOG_FOLDER, LogAnswers
from serving_assets.serving.http.answer import Answer
from serving_assets.serving.telemetry.prediction_log import (
    MOST_WAITING,
    PredictionLog,
    Record,
    as_line,
    finish_leftovers,
)
from tests.serving.world import BUYS, TOWN, World, soon


def test_sampled_answers_land_without_ids(own_world: World) -> None:
    """A use case that declares it has its answers in the landing zone when the server ends; others have none."""
    declaration = own_world.catalog / "use_cases" / BUYS / "use_case.py"
    text = declaration.read_text().replace("import Fallback,", "import LogAnswers, Fallback,")
    declaration.write_text(text.replace("serve=Serve(", "serve=Serve(log=LogAnswers(share=1, features=True), "))
    with own_world.served() as world:
        world.look_up(BUYS, 424_242)
        world.look_up(BUYS, 7)
        world.batch(BUYS, [7, 8])
        world.score(BUYS, entity_id=1, features={"f0": 2.5})
        world.look_up(TOWN, "1")
    files = list((own_world.data / "landing" / LOG_FOLDER).rglob("*"))
    (file,) = [path for path in files if path.is_file()]
    assert file.parent.name == f"dt={datetime.now(UTC).date()}"
    one, many, scored = (json.loads(line) for line in file.read_text().splitlines())
    assert one["prediction"] == {"score": 0.007}
    assert len(many["items"]) == 2
    assert scored["features"]["f0"] == {"value": 2.5, "origin": "request"}
    assert "entity_id" not in file.read_text()


def test_ids_are_logged_where_they_are_declared() -> None:
    """What is personal is in the log exactly when the use case declares it."""
    answer = Answer(200, b'{"entity_id":7,"prediction":{},"features":{"a":1}}', (), "batch", lambda: {"a": 1})
    for entity in (True, False):
        for features in (True, False):
            declared = LogAnswers(share=1, entity=entity, features=features)
            line = json.loads(as_line(Record(datetime.now(UTC), "r", "u", declared, answer)))
            assert ("entity_id" in line, "features" in line) == (entity, features)


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    """When nobody writes, records beyond the bound are counted and the request goes on."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, {"u": LogAnswers(share=1)}, lambda: dropped.append(1))
    request = type("Named", (), {"id": "r"})()
    for _ in range(MOST_WAITING + 5):
        log.note(request, "u", Answer(200, b"{}", ()))
    assert len(dropped) == 5


def test_a_folder_that_goes_away_costs_records_alone(tmp_path: Path) -> None:
    """A file that cannot appear any more is counted, and what is answered later lands as if nothing had been."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, {"u": LogAnswers(share=1)}, lambda: dropped.append(1), file_seconds=0.5)
    folder = tmp_path / LOG_FOLDER
    request = type("Named", (), {"id": "r"})()
    log.start()
    log.note(request, "u", Answer(200, b"{}", ()))
    assert soon(lambda: list(folder.rglob(".*.part")))
    shutil.rmtree(folder)
    assert soon(lambda: dropped)
    log.note(request, "u", Answer(200, b"{}", ()))
    log.close()
    assert len([path for path in folder.rglob("*.ndjson") if not path.name.startswith(".")]) == 1


def test_what_a_killed_process_left_appears_whole(tmp_path: Path) -> None:
    """A hidden file of a process that is gone appears without its last, broken line; one of a living process stays."""
    folder = tmp_path / "dt=2026-01-01"
    folder.mkdir()
    host = socket.gethostname()
    (folder / f".{host}-999999999-1.ndjson.part").write_text('{"a":1}\n{"b')
    (folder / f".{host}-1-1.ndjson.part").write_text('{"a":1}\n')
    finish_leftovers(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        f".{host}-1-1.ndjson.part",
        f"{host}-999999999-1.ndjson",
    ]
    assert (folder / f"{host}-999999999-1.ndjson").read_text() == '{"a":1}\n'
