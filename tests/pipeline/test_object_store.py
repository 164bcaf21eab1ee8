"""Rules of object stores: landed files and the lake behave on S3 as on a disk, and what is wrong is said.

Not here: files and rows as such (test_landing.py).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.catalog.spec import Format
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import ConflictError, InputError, ServingAssetsError
from serving_assets.lake import Lake
from serving_assets.landing.storage import open_storage
from serving_assets.landing.zone import LandingZone
from serving_assets.pipeline.automation.arrivals_sensor import Memory, evaluate
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings
from tests.s3_server import BUCKET, S3Server, running_server
from tests.unit.catalog.small_catalog import write_catalog
from tests.unit.engines.landings import FORMATS, GOOD, MONDAY, Zone, encoded, sales

LANDING = f"s3://{BUCKET}/landing"
ODD_NAMES = ["late[1]", "late1", "a*b?", "sp ace", "per%20cent", "qu'o\"te", "ünï", "{a,b}"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server for all tests that leave it running."""
    with running_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, to which this process is led by the environment."""
    server.use(monkeypatch)
    return server


class RemoteZone(Zone):
    """A landing zone in the bucket, below a prefix of its own."""

    @property
    def prefix(self) -> str:
        """Where in the bucket it is."""
        return f"landing-{self.root.name}"

    @property
    def zone(self) -> LandingZone:
        """The same as ingest sees it."""
        return LandingZone(open_storage(f"s3://{BUCKET}/{self.prefix}"), self.root / "fetched")

    def put(self, server: S3Server, name: str, content: bytes) -> None:
        """Deliver one file of Monday."""
        server.put(f"{self.prefix}/sales/dt={MONDAY}/{name}", content)


@pytest.mark.parametrize("form", FORMATS)
def test_files_of_every_format_are_ingested(s3: S3Server, tmp_path: Path, form: Format) -> None:
    """Every file is read by its literal name, whatever characters are in it, once; nothing stays on this machine."""
    zone = RemoteZone(tmp_path, sales(format=form))
    for number, name in enumerate(ODD_NAMES):
        zone.put(s3, f"{name}.{form}", encoded([{**GOOD, "id": number + 1, "note": name}], form))
    if form != "parquet":
        content = gzip.compress(encoded([{**GOOD, "id": 99, "note": "packed"}], form))
        zone.put(s3, f"PACKED.{form.upper()}.GZ", content)
    zone.put(s3, "README.txt", b"not read")
    landed = zone.ingest()
    notes = [*ODD_NAMES, *(["packed"] if form != "parquet" else [])]
    assert sorted(row["note"] for row in zone.accepted()) == sorted(notes)
    assert {row["_source_file"] for row in zone.rows()} >= {f"sales/dt={MONDAY}/{name}.{form}" for name in ODD_NAMES}
    assert (landed.files, [path for path, _ in landed.unread]) == (len(notes), [f"sales/dt={MONDAY}/README.txt"])
    assert [path for path in (tmp_path / "fetched").rglob("*") if path.name != ".lock"] == []


def test_the_file_that_was_listed_is_the_one_that_is_read(s3: S3Server, tmp_path: Path) -> None:
    """A file that is written anew between the listing and the reading is not read; nothing is written."""
    zone = RemoteZone(tmp_path, sales(format="csv"))
    zone.put(s3, "part.csv", encoded([GOOD], "csv"))
    delivery = zone.zone.delivery(zone.source, MONDAY)
    zone.put(s3, "part.csv", encoded([{**GOOD, "note": "m"}], "csv"))
    with (
        pytest.raises(ConflictError, match=r"s3://shop/.*part\.csv was written anew"),
        zone.zone.placed(zone.source, delivery.files),
    ):
        pass
    assert zone.ingest().rows == 1


def test_a_missing_bucket_is_reported(s3: S3Server, tmp_path: Path) -> None:
    """A bucket that does not exist is an error with its name and the setting."""
    zone = LandingZone(open_storage("s3://no-such-bucket/landing"), tmp_path)
    with pytest.raises(InputError, match=r"s3://no-such-bucket/landing: there is no such bucket\. Correct LANDING_URI"):
        zone.deliveries(sales())


def test_missing_credentials_are_reported(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials in the environment, and without an identity of the machine, the error says so."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="there are no credentials that open it"):
        LandingZone(open_storage(LANDING), tmp_path).deliveries(sales())


@pytest.mark.parametrize(
    ("address", "here", "folder"),
    [
        ("", True, "data/landing"),
        ("/mnt/zone", True, "/mnt/zone"),
        ("file:///mnt/a%20zone", True, "/mnt/a zone"),
        (LANDING, False, "data/landing"),
    ],
)
def test_the_local_folder_of_a_zone(tmp_path: Path, address: str, here: bool, folder: str) -> None:
    """What is written on this machine goes to the zone where that is a folder, else to DATA_DIR."""
    found = Settings(data_dir=tmp_path / "data", landing_uri=address)
    assert (found.lands_here, found.landing) == (here, tmp_path / folder)


def test_a_missing_day_names_its_address(s3: S3Server, tmp_path: Path) -> None:
    """A day without a file is the same error as on a disk, with the address in the store."""
    zone = RemoteZone(tmp_path)
    with pytest.raises(InputError, match=rf"no parquet file has landed in s3://shop/{zone.prefix}/sales/dt={MONDAY}\."):
        zone.ingest()


def test_a_server_that_is_down_is_reported_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer the error names the address; the tables stay as they were, and no file is left half-fetched."""
    with running_server(tmp_path) as own:
        own.use(monkeypatch)
        zone = RemoteZone(tmp_path)
        zone.put(own, "part.parquet", encoded([GOOD], "parquet"))
        zone.ingest()
        kept, versions = zone.rows(), zone.versions()
        own.stop()
        with pytest.raises(ServingAssetsError, match=r"s3://shop/\S+ cannot be reached or does not answer"):
            zone.ingest()
    assert (zone.rows(), zone.versions()) == (kept, versions)
    assert [path for path in (tmp_path / "fetched").rglob("*") if path.name != ".lock"] == []


SALES = [
    {"id": 1, "person": 7, "sold_at": "2017-03-06 12:00:00", "price": 1.5},
    {"id": 2, "person": 7, "sold_at": "2017-03-06 13:00:00", "price": 2.5},
]


def test_a_table_is_made_from_bucket_to_bucket(s3: S3Server, tmp_path: Path) -> None:
    """What lands in a bucket is noticed, becomes raw and mapped tables in the bucket, and is read back from there."""
    catalog = load_catalog(write_catalog(tmp_path / "catalog"))
    settings = Settings(
        data_dir=tmp_path / "data",
        landing_uri=f"s3://{BUCKET}/zone",
        lake_uri=f"s3://{BUCKET}/lake",
        executor="in_process",
    )
    s3.put(f"zone/sales/dt={MONDAY}/part.parquet", encoded(SALES, "parquet"))
    s3.put("zone/people/part.parquet", encoded([{"person": 7, "town": "Ulm"}], "parquet"))
    platform, instance = Platform(settings, catalog), dg.DagsterInstance.ephemeral()
    found = evaluate(DagsterView(instance), platform, "shop", Memory())
    assert [(change.table.name, change.day) for change in found.taken] == [("people", None), ("sales", MONDAY)]

    defs, tables = build_defs(settings, catalog), ["raw/people", "mapped/towns", "raw/sales", "mapped/person_days"]
    for names, partition in ((tables[:2], None), (tables[2:], str(MONDAY))):
        assets = [defs.resolve_assets_def(dg.AssetKey(name.split("/"))) for name in names]
        done = dg.materialize(assets, instance=instance, partition_key=partition)
        assert done.success
    lake = Lake(settings.lake)
    rows = {name: _rows(platform, lake, name) for name in ("mapped/towns", "mapped/person_days")}
    assert rows["mapped/towns"] == [{"person": 7, "town": "Ulm"}]
    assert [(row["person"], row["spend"]) for row in rows["mapped/person_days"]] == [(7, 4.0)]
    assert any(path.startswith("lake/mapped/person_days/_delta_log/") for path in s3.paths("lake"))
    assert not (tmp_path / "data" / "lake").exists()


def _rows(platform: Platform, lake: Lake, name: str) -> list[dict[str, Any]]:
    return platform.engine.collect(
        Query("SELECT * FROM t ORDER BY ALL", {"t": Input(lake.table(name).scan())})
    ).to_pylist()
