"""Rules of landing: what somebody is told of a broken delivery, and what is kept.

Not here: files that cannot be used at all (test_unusable_deliveries.py), or which value fits which type
(tests/unit/engines/test_contract.py).
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving_assets.errors import InputError
from serving_assets.failpoints import VARIABLE
from tests.unit.engines.landings import FORMATS, GOOD, MONDAY, TUESDAY, Zone, encoded, sales

BEFORE = [{**GOOD, "note": "before"}, {**GOOD, "id": 2, "quantity": -1}]


@pytest.fixture(params=FORMATS)
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    """A landing zone of each format."""
    return Zone(tmp_path, sales(format=request.param))


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_a_missing_delivery_is_told(zone: Zone, may_be_empty: bool) -> None:
    """A day without a file is an error that names the folder, also where empty days are normal: it may just be late."""
    zone = zone.of(may_be_empty=may_be_empty)
    zone.drop([{**GOOD, "sold_at": f"{TUESDAY} 12:00:00"}], day=TUESDAY)
    with pytest.raises(InputError, match=rf"no {zone.source.format} file has landed in .*dt={MONDAY}.*without rows"):
        zone.ingest(MONDAY, TUESDAY)
    assert zone.versions() == (None, None)


def test_an_empty_day_does_not_hide_in_a_range(zone: Zone) -> None:
    """In a range of days, the rows of one day do not excuse that another has none."""
    zone.drop([{**GOOD, "sold_at": f"{TUESDAY} 12:00:00"}], day=TUESDAY)
    zone.drop(encoded([], zone.source.format, list(GOOD)), day=MONDAY)
    with pytest.raises(InputError, match=rf"hold no row .*dt={MONDAY}"):
        zone.ingest(MONDAY, TUESDAY)
    assert zone.of(may_be_empty=True).ingest(MONDAY, TUESDAY).rows == 1


@pytest.mark.parametrize("content", [b"", None], ids=["0 bytes", "0 rows"])
def test_a_source_that_may_be_empty_takes_an_empty_file(zone: Zone, content: bytes | None) -> None:
    """Where emptiness is normal, an empty file replaces the day by nothing; 0 bytes are no Parquet even then."""
    zone = zone.of(may_be_empty=True)
    zone.drop(BEFORE)
    zone.ingest()
    zone.drop(encoded([], zone.source.format, list(GOOD)) if content is None else content)
    if content is not None and zone.source.format == "parquet":
        with pytest.raises(InputError, match="too small"):
            zone.ingest()
        return
    assert zone.ingest().rows == 0
    assert (zone.rows(), zone.rows("__rejected")) == ([], [])


@pytest.mark.parametrize("suffix", [".csv.gz", ".ndjson.gz"])
def test_compressed_files_are_read(tmp_path: Path, suffix: str) -> None:
    """Gzip is read by its name, also where nothing is in it."""
    zone = Zone(tmp_path, sales(format="csv" if "csv" in suffix else "ndjson"))
    zone.drop([GOOD], f"a{suffix}")
    zone.drop(gzip.compress(b""), f"b{suffix}")
    assert zone.ingest().rows == 1


def test_only_finished_files_of_the_format_count(zone: Zone) -> None:
    """Hidden and underscored names, folders, and other formats that lie around are no delivery."""
    form = zone.source.format
    zone.drop([GOOD])
    for name in (
        f".part2.{form}.tmp",
        f".part2.{form}",
        f"_part2.{form}",
        "_SUCCESS",
        "README.txt",
        f"part.{form}.crc",
    ):
        zone.drop(b"still being written", name)
    (zone.folder() / f"folder.{form}").mkdir()
    assert zone.ingest().files == 1


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("a wrong type", {"quantity": "many"}, "quantity is not int64"),
    ("a fraction", {"quantity": 1.5}, "quantity is not int64"),
    ("a key without value", {"id": None}, "id is empty"),
    ("a required column without value", {"quantity": None}, "quantity is empty"),
    ("a negative price", {"price": -0.01}, "price is outside [0, inf)"),
    ("one more than allowed", {"quantity": 1_234_568}, "quantity is outside [0, 1234567]"),
    ("a price that is no number", {"price": float("nan")}, "price is not finite"),
    ("a price without end", {"price": float("inf")}, "price is not finite"),
    ("another day", {"sold_at": "2017-03-07 00:00:00"}, "sold_at is of 2017-03-07, outside the partition"),
    ("no time", {"sold_at": "yesterday"}, "sold_at is not timestamp"),
    ("two at once", {"quantity": -1, "price": -1.0}, "quantity is outside [0, 1234567]; price is outside [0, inf)"),
]


@pytest.mark.parametrize(("change", "reason"), [pytest.param(c, r, id=name) for name, c, r in BROKEN])
def test_a_row_that_breaks_the_contract_is_kept_apart(zone: Zone, change: dict[str, Any], reason: str) -> None:
    """Of a file with one broken row, all others are accepted; that row is kept with every reason and as it was."""
    odd = {"note": "broken", **change}
    zone.drop([GOOD, {**GOOD, "id": 2, **odd}, {**GOOD, "id": 3}])
    landed = zone.ingest()
    assert (landed.rows, landed.rejected, landed.reasons) == (2, 1, {reason: 1})
    assert [row["id"] for row in zone.accepted()] == [1, 3]
    ((why, original),) = zone.rejected()
    assert why == reason
    assert original["note"] == "broken"
    if (given := next(iter(change.values()))) is not None:
        assert str(original[next(iter(change))]).lower().startswith(str(given))
    (example,) = landed.examples
    assert example == {"reason": reason, "file": f"sales/dt={MONDAY}/part.{zone.source.format}", "row": example["row"]}


def test_of_two_rows_with_one_key_the_first_of_a_file_is_accepted(zone: Zone) -> None:
    """Of the rows of a key in one file the first is accepted; a broken row is never the one that is kept."""
    notes = [{**GOOD, "quantity": -1}, {**GOOD, "note": "first"}, {**GOOD, "note": "second"}, {**GOOD, "id": 2}]
    zone.drop(notes)
    landed = zone.ingest()
    assert landed.reasons == {"a second row of its key (id)": 1, "quantity is outside [0, 1234567]": 1}
    assert [row["note"] for row in zone.accepted()] == ["first", "n"]
    assert ("a second row of its key (id)", "second") in [(why, row["note"]) for why, row in zone.rejected()]


A_FILE = f"sales/dt={MONDAY}/"


@pytest.mark.parametrize(
    ("rule", "kept", "reasons"),
    [
        ("newest_file", ["new"], {f"a row of its key (id) is in the newer file {A_FILE}a": 2}),
        (
            "oldest_file",
            ["same time, earlier name"],
            {f"a row of its key (id) is in the older file {A_FILE}b": 2},
        ),
        ("refuse", [], {"one of several rows of its key (id)": 3}),
    ],
)
def test_of_one_key_in_several_files_the_declared_rule_decides(
    zone: Zone, rule: str, kept: list[str], reasons: dict[str, int]
) -> None:
    """The newest file is the one written last, then the one whose name sorts last; every other row is quarantined."""
    form = zone.source.format
    zone = zone.of(same_key=rule)
    for name, age, note in (("a", 0, "new"), ("b", 60, "same time, earlier name"), ("c", 60, "same time, later name")):
        path = zone.drop([{**GOOD, "note": note}], f"{name}.{form}")
        os.utime(path, (1_500_000_000 - age, 1_500_000_000 - age))
    landed = zone.ingest()
    assert [row["note"] for row in zone.accepted()] == kept
    assert {reason.removesuffix(f".{form}"): n for reason, n in landed.reasons.items()} == reasons


def test_a_broken_correction_replaces_nothing(zone: Zone) -> None:
    """A row of the newest file that breaks the contract leaves the sound row of an older file in place."""
    form = zone.source.format
    zone.drop([{**GOOD, "note": "sound"}], f"a.{form}")
    os.utime(zone.folder() / f"a.{form}", (1_500_000_000, 1_500_000_000))
    zone.drop([{**GOOD, "note": "broken", "quantity": -1}], f"b.{form}")
    assert zone.ingest().reasons == {"quantity is outside [0, 1234567]": 1}
    assert [row["note"] for row in zone.accepted()] == ["sound"]


def test_a_key_may_return_on_another_day(zone: Zone) -> None:
    """Keys are unique within a day: the same key on two days is two rows."""
    for day in (MONDAY, TUESDAY):
        zone.drop([{**GOOD, "sold_at": f"{day} 12:00:00"}], day=day)
    assert zone.ingest(MONDAY, TUESDAY).rows == 2
    assert [row["day"] for row in zone.rows()] == [MONDAY, TUESDAY]


@pytest.mark.parametrize("name", ["dt", "day", "filename", "l", "d", "Größe", "a \"b\" 'c'", "x y", "_reason", "row"])
def test_an_undeclared_column_is_reported_and_left_out(zone: Zone, name: str) -> None:
    """A column that nobody declared, whatever its name, is reported, not stored, and kept in a rejected row."""
    zone.drop([{**GOOD, name: "extra"}, {**GOOD, "id": -1, name: "extra"}])
    landed = zone.ingest()
    assert landed.extra_columns == (name,)
    assert set(zone.rows()[0]) == {"day", *GOOD, "_source_file", "_ingested_at"}
    assert zone.rows()[0]["day"] == MONDAY
    assert zone.rejected()[0][1][name] == "extra"


def test_rows_land_in_the_partition_of_their_local_day(zone: Zone) -> None:
    """The domain's time zone decides the day, also where clocks change: 23 hours on the one Sunday, 25 on the other."""
    zone = Zone(zone.root, zone.source, "America/New_York")
    for day, first, last in (
        ("2017-03-12", "2017-03-12 05:00:00", "2017-03-13 03:59:59"),
        ("2017-11-05", "2017-11-05 04:00:00", "2017-11-06 04:59:59"),
    ):
        sunday = MONDAY.fromisoformat(day)
        zone.drop([{**GOOD, "sold_at": first}, {**GOOD, "id": 2, "sold_at": last}], day=sunday)
        assert zone.ingest(sunday).rows == 2
        zone.drop([{**GOOD, "sold_at": last}], day=sunday + timedelta(days=1))
        assert zone.ingest(sunday + timedelta(days=1)).reasons == {f"sold_at is of {day}, outside the partition": 1}


def test_landing_again_gives_the_same_rows(zone: Zone) -> None:
    """A day taken in twice has the same accepted and rejected rows as after the first time, those of other days too."""
    zone.drop([*BEFORE, {**GOOD, "note": "copy"}])
    zone.drop([{**GOOD, "sold_at": f"{TUESDAY} 12:00:00"}], day=TUESDAY)
    first = zone.ingest(MONDAY, TUESDAY)
    kept = (zone.accepted(), zone.rejected())
    again = zone.ingest()
    assert (zone.accepted(), zone.rejected()) == kept
    assert (again.reasons, again.rejected) == (first.reasons, first.rejected)


def test_a_huge_value_is_kept_whole_and_shown_short(zone: Zone) -> None:
    """A megabyte of text in a rejected row stands whole in the table, and shortened in what is shown of it."""
    zone.drop([GOOD, {**GOOD, "id": 0, "note": "ü" * 500_000}])
    (example,) = zone.ingest().examples
    assert len(example["row"]) == 1_000
    assert zone.rejected()[0][1]["note"] == "ü" * 500_000


def test_a_kill_between_the_two_writes_is_repaired(zone: Zone, tmp_path: Path) -> None:
    """Killed between rejected and accepted rows, the old accepted rows stay readable, and the next run completes."""
    zone = Zone(tmp_path)
    zone.drop(BEFORE)
    zone.ingest()
    zone.drop([{**GOOD, "note": "after"}, {**GOOD, "id": -5}])
    environment = {**os.environ, VARIABLE: "raw.between_rejected_and_accepted"}
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.engines.landings", tmp_path], env=environment, check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert [row["note"] for row in zone.accepted()] == ["before"]
    landed = zone.ingest()
    assert [row["note"] for row in zone.accepted()] == ["after"]
    assert (landed.rows, landed.rejected, len(zone.rejected())) == (1, 1, 1)


SNAPSHOT = {"delivery": "snapshot", "event_time": None}


def test_an_unchanged_snapshot_is_not_written_again(zone: Zone) -> None:
    """A snapshot is written when its files or its contract have changed, and else only reported as before."""
    zone = zone.of(**SNAPSHOT)
    zone.drop([*BEFORE, {**GOOD, "id": 3, "extra": 1}])
    first, versions = zone.ingest(), zone.versions()
    again = zone.ingest()
    assert again.accepted is None
    assert zone.versions() == versions
    for field in ("rows", "rejected", "reasons", "examples", "extra_columns", "files"):
        assert getattr(again, field) == getattr(first, field), field

    stricter = zone.of(
        columns={**zone.source.columns, "note": zone.source.columns["note"].model_copy(update={"required": True})}
    )
    zone.drop([*BEFORE, {**GOOD, "id": 3, "note": None}])
    assert zone.ingest().rejected == 1
    assert stricter.ingest().reasons == {"note is empty": 1, "quantity is outside [0, 1234567]": 1}
    zone.drop([GOOD])
    assert zone.ingest().accepted is not None
    assert zone.accepted()[0]["note"] == "n"


def test_a_snapshot_killed_halfway_is_not_taken_for_unchanged(tmp_path: Path) -> None:
    """Only when both tables stem from these files is a snapshot left alone."""
    zone = Zone(tmp_path).of(**SNAPSHOT)
    zone.drop(BEFORE)
    zone.ingest()
    rejected = zone.lake.table("raw/sales__rejected")
    rejected.replace(rejected.scan().dataset().scanner().to_reader(), metadata={"landed_fingerprint": "other files"})
    assert zone.ingest().accepted is not None


def test_facts_about_a_landing_are_json(zone: Zone) -> None:
    """What is reported of a landing can be written as JSON, whatever stands in the rows."""
    zone.drop([{**GOOD, "price": float("-inf"), "note": '"\n\\\u2028'}])
    assert json.loads(json.dumps([zone.ingest().examples, zone.rejected()], allow_nan=False))
