"""Rules of files: each is read by its literal name or named as unread, and CSV is read as it is declared.

Not here: the rows (test_landing.py), or object stores (test_object_store.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serving_assets.catalog.spec import Csv, Format
from serving_assets.engines.protocol import Files, Query
from serving_assets.errors import ConflictError, InputError, ServingAssetsError
from serving_assets.landing import deliveries
from serving_assets.pipeline.checks.files_read import check_files_read
from tests.unit.engines.landings import FORMATS, GOOD, MONDAY, TUESDAY, Zone, encoded, sales

ODD_NAMES = ["late[1]", "late1", "a*b", "aXb", "q?", "qx", "{a,b}", "sp ace", "per%20cent", "qu'o\"te", "ünï", "[!x]"]
FOLDERS = ["plain", "we[1]rd", "s*r", "{p,q}", "dt=[2]", "qu'o\"te"]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("form", FORMATS)
def test_names_are_literal(tmp_path: Path, form: Format, folder: str) -> None:
    """No character in the name of a file or of a folder has a meaning: each file is read once, beside its likes."""
    for name in ("we1rd", "star", "p"):
        (tmp_path / name).mkdir(exist_ok=True)
    zone = Zone(tmp_path / folder, sales(format=form))
    for number, name in enumerate(ODD_NAMES):
        zone.drop([{**GOOD, "id": number + 1, "note": name}], f"{name}.{form}")
    assert zone.ingest().files == len(ODD_NAMES)
    read = {row["_source_file"]: row["note"] for row in zone.rows()}
    assert read == {f"sales/dt={MONDAY}/{name}.{form}": name for name in ODD_NAMES}


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("csv", ["a.csv", "B.CSV", "c.csv.gz", "D.CSV.GZ", "e.Csv.gz"]),
        ("ndjson", ["a.ndjson", "B.NDJSON", "c.jsonl", "d.json", "E.JSON.GZ", "f.jsonl.gz"]),
        ("parquet", ["a.parquet", "B.PARQUET", "c.Parquet"]),
    ],
)
def test_case_of_a_suffix_does_not_count(tmp_path: Path, form: Format, names: list[str]) -> None:
    """A file is read whatever the case of its suffix, compressed or not."""
    import gzip

    zone = Zone(tmp_path, sales(format=form))
    for number, name in enumerate(names):
        content = encoded([{**GOOD, "id": number + 1}], form)
        zone.drop(gzip.compress(content) if name.lower().endswith(".gz") else content, name)
    landed = zone.ingest()
    assert (landed.files, landed.rows, landed.unread) == (len(names), len(names), ())


def test_every_file_that_is_not_read_is_named(tmp_path: Path) -> None:
    """Whatever lies beside the files that are read is named with the reason, in a warning unless it is ignored."""
    zone = Zone(tmp_path, sales(format="csv"))
    zone.drop([GOOD], "part.csv")
    for name in (
        "notes.txt",
        ".hidden.csv",
        "_unfinished.csv",
        "part.csv.tmp",
        "_SUCCESS",
        "part.csv.crc",
        "inside/x.csv",
    ):
        zone.drop(b"id\n", name)
    zone.drop(b"", "empty.csv")
    landed = zone.ingest()
    named = {path.removeprefix(f"sales/dt={MONDAY}/"): why for path, why in landed.unread}
    assert set(named) == {
        "notes.txt", ".hidden.csv", "_unfinished.csv", "part.csv.tmp", "_SUCCESS", "part.csv.crc", "inside/x.csv",
        "empty.csv",
    }  # fmt: skip
    assert named["empty.csv"] == "it is empty"
    verdict = check_files_read(zone.source, landed)
    assert (verdict.severity, verdict.measured) == ("warn", 6)
    assert "notes.txt (its name ends in none of .csv, .csv.gz)" in verdict.message
    assert "_SUCCESS" not in verdict.message
    assert check_files_read(zone.of(ignored_files=("*",)).source, landed).severity == "pass"


def test_a_day_with_other_files_only_names_them(tmp_path: Path) -> None:
    """Where no file is read, the error names what lies there."""
    zone = Zone(tmp_path, sales(format="csv"))
    zone.drop(b"x", "part.xlsx")
    with pytest.raises(InputError, match=r"no csv file has landed .* There is part\.xlsx \(its name ends in none of"):
        zone.ingest()


def test_a_file_that_is_listed_and_not_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a query passes over is found out before anything is written."""
    zone = Zone(tmp_path, sales(format="csv"))
    for number in (1, 2):
        zone.drop([{**GOOD, "id": number}], f"{number}.csv")
    all_files = deliveries.Query

    def without_the_second(sql: str, inputs: dict[str, Any], *rest: Any) -> Query:
        cut = {
            name: Files(each.form, each.paths[:1], each.columns, each.csv) if isinstance(each, Files) else each
            for name, each in inputs.items()
        }
        return all_files(sql, cut, *rest)

    monkeypatch.setattr(deliveries, "Query", without_the_second)
    with pytest.raises(ServingAssetsError, match=r"2\.csv was listed, and 0 of its rows were read"):
        zone.ingest()
    assert zone.versions() == (None, None)


def test_a_file_that_changes_while_it_is_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that upstream writes anew in the middle of a landing leaves both tables as they were."""
    zone = Zone(tmp_path, sales(format="csv"))
    path = zone.drop([GOOD])

    engine, land, fresh = zone.engine, zone.engine.land, encoded([{**GOOD, "id": 5}], "csv")
    monkeypatch.setattr(engine, "land", lambda *parts: (path.write_bytes(fresh), land(*parts))[1])
    with pytest.raises(ConflictError, match="was written anew"):
        zone.ingest()
    assert zone.versions() == (None, None)


def test_what_a_killed_process_fetched_is_removed(tmp_path: Path) -> None:
    """The next landing removes the files that a killed one had made readable, and not those of one that lives."""
    code = (
        "import sys, time, pathlib\n"
        "from serving_assets.landing.scratch import scratch_folder\n"
        "with scratch_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'part.csv').write_text('x'); print(folder, flush=True); time.sleep(300)\n"
    )
    zone = Zone(tmp_path)
    zone.drop([GOOD])
    folders = []
    for child in _children(code, tmp_path / "fetched"):
        folders.append(Path(str(child.stdout.readline()).strip()) if child.stdout else Path())
        zone.ingest()
        assert folders[-1].exists()
    zone.ingest()
    assert [folder for folder in folders if folder.exists()] == []


def _children(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait(30)


GERMAN = Csv(delimiter=";", decimal=",", encoding="latin-1")


def german(rows: str) -> bytes:
    """A file as a German spreadsheet writes it."""
    return f"id;sold_at;quantity;price;note\r\n{rows}".encode("latin-1")


def test_a_declared_dialect_is_read(tmp_path: Path) -> None:
    """Separator, decimal sign, encoding and quotes are as declared."""
    zone = Zone(tmp_path, sales(format="csv", csv=GERMAN))
    zone.drop(german('1;2017-03-06 12:00;2;1,5;Größe\r\n2;2017-03-06 12:00;2;1.5;"a;b"\r\n'))
    assert zone.ingest().reasons == {"price is not float64": 1}
    assert [(row["price"], row["note"]) for row in zone.accepted()] == [(1.5, "Größe")]
    quoted = zone.of(csv=Csv(delimiter="|", quote="'"))
    quoted.drop(b"id|sold_at|quantity|price|note\n1|2017-03-06 12:00|2|2.5|'a|b'\n")
    quoted.ingest()
    assert [(row["price"], row["note"]) for row in quoted.accepted()] == [(2.5, "a|b")]


LINES = [b"id,sold_at,quantity,price,note", b'1,2017-03-06 12:00,2,1.5,"x\r\ny"', b"2,2017-03-06 12:00,2,1.5,z"]


@pytest.mark.parametrize(
    "ends", [(b"\r\n", b"\n", b"\n"), (b"\n", b"\n", b"\r\n"), (b"\r", b"\r", b"\r"), (b"\n", b"\r", b"")]
)
def test_mixed_line_ends_are_read(tmp_path: Path, ends: tuple[bytes, ...]) -> None:
    """Lines may end in several ways in one file; line ends inside quotes are content."""
    zone = Zone(tmp_path, sales(format="csv"))
    zone.drop(b"".join(line + end for line, end in zip(LINES, ends, strict=True)))
    assert zone.ingest().rejected == 0
    assert [row["note"] for row in zone.accepted()] == ["x\r\ny", "z"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (german("1;2017-03-06 12:00;2\r\n"), r"Line: 2 .*Expected Number of Columns: 5 Found: 3 .*part\.csv"),
        (b"id,sold_at,quantity,price,note\n", r"part\.csv lacks the column .*is ',' the delimiter\?"),
    ],
)
def test_the_error_names_file_line_and_expectation(tmp_path: Path, content: bytes, message: str) -> None:
    """A line that does not fit is named with its number, the file and what was expected."""
    zone = Zone(tmp_path, sales(format="csv", csv=GERMAN))
    zone.drop(content)
    with pytest.raises(InputError, match=f"(?s){message}"):
        zone.ingest()


def test_a_byte_of_another_encoding_is_named(tmp_path: Path) -> None:
    """Where the encoding does not have a byte, the error names the file, the line, the byte and the encoding."""
    zone = Zone(tmp_path, sales(format="csv", csv=Csv(encoding="ascii")))
    zone.drop(encoded([GOOD, {**GOOD, "id": 2, "note": "ü"}], "csv"))
    with pytest.raises(InputError, match=r"line 3 of \S+/part\.csv has the byte 0xc3, which is not ascii"):
        zone.ingest()


@pytest.mark.parametrize(
    "fields", [{"delimiter": ";;"}, {"delimiter": "\n"}, {"quote": ","}, {"encoding": "utf-9"}, {"encoding": "utf-16"}]
)
def test_a_dialect_that_cannot_be_read_is_refused(fields: dict[str, str]) -> None:
    """What cannot be meant is an error of the declaration."""
    with pytest.raises(ValidationError):
        Csv(**fields)


def test_the_listing_of_a_source_and_of_a_day_agree(tmp_path: Path) -> None:
    """The sensor, which lists all days at once, and a landing, which lists its own, see the same deliveries."""
    zone = Zone(tmp_path, sales(format="csv"))
    for day in (MONDAY, TUESDAY):
        zone.drop([GOOD], "PART.CSV", day=day)
        zone.drop(b"x", "inside/part.csv", day=day)
        zone.drop(b"x", "notes.txt", day=day)
    found = zone.zone.deliveries(zone.source)
    assert list(found) == [str(TUESDAY), str(MONDAY)]
    alone = {str(day): zone.zone.delivery(zone.source, day) for day in (TUESDAY, MONDAY)}
    assert {day: (each.signature, each.files) for day, each in found.items()} == {
        day: (each.signature, each.files) for day, each in alone.items()
    }
    assert [file.path for file in found[str(MONDAY)].files] == [f"dt={MONDAY}/PART.CSV"]
