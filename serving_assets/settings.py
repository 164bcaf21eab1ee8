"""The environment, read once into one frozen object.

Here: every setting, its default and what it means. Not here: anything that acts on one, or thresholds (the catalog
declares those).
"""

from __future__ import annotations

import json
import os
import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving_assets.errors import InputError

PROJECT = Path(__file__).resolve().parent.parent
WORKSPACE_FILE = "settings.env"


ANY_ORIGIN = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_OWN_PATHS = ("v1", "docs", "livez", "readyz", "metrics", "openapi.json")


def _origins(text: str) -> str:
    """The origins as browsers send them: lower case, no default port, no trailing slash."""
    found = [_origin(one.strip()) for one in text.split(",") if one.strip()]
    if ANY_ORIGIN in found and len(found) > 1:
        raise ValueError("* stands for every origin, so no other may stand beside it")
    return ",".join(dict.fromkeys(found))


def _origin(text: str) -> str:
    if text == ANY_ORIGIN:
        return text
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host, parts = None, None, urlsplit("")
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    named = re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host or "")
    if parts.scheme not in _DEFAULT_PORTS or not named or not plain or not text.isprintable():
        raise ValueError(
            f"{text!r} is not an origin: expected http or https, a host in ASCII and perhaps a port, such as "
            "https://shop.example, or * alone for every origin"
        )
    name = f"[{host}]" if ":" in named.string else named.string
    return f"{parts.scheme}://{name}" + (f":{port}" if port not in (None, _DEFAULT_PORTS[parts.scheme]) else "")


def _path_prefix(text: str) -> str:
    """The prefix without a slash at its end."""
    prefix = text.rstrip("/")
    segments = prefix.split("/")[1:]
    if prefix and (prefix[0] != "/" or not all(re.fullmatch(r"[A-Za-z0-9._~-]+", one) for one in segments)):
        raise ValueError(
            f"{text!r} is not a path prefix: expected letters, digits, and - . _ ~ between slashes, such as /ml"
        )
    if segments and (segments[0] in _OWN_PATHS or {".", ".."} & set(segments)):
        raise ValueError(f"{text!r} cannot be a path prefix: it begins as paths of the API do, or has . or .. in it")
    return prefix


class Settings(BaseSettings):
    """Where things are and how much may be used; each field is the environment variable of the same name in capitals.

    Read from the environment first, then from `DATA_DIR/settings.env`, which holds what this workspace has fixed
    (the demo writes the first day of its domain there).
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    data_dir: Path = Field(PROJECT / "data", description="folder of everything local that has no setting of its own")
    catalog_dir: Path = Field(PROJECT / "serving_assets" / "catalog", description="folder with domains/ and use_cases/")
    lake_uri: str = Field("", description="Delta Lake tables, a folder or s3://, gs://, az://; default DATA_DIR/lake")
    landing_uri: str = Field(
        "", description="where upstream systems drop files, a folder or s3://, gs://, az://; default DATA_DIR/landing"
    )
    mlflow_tracking_uri: str = Field("", description="MLflow server or database; default SQLite in DATA_DIR/mlflow")
    store_uri: str = Field("", description="online store; default MONGODB_URI, or else sqlite:///DATA_DIR/online.db")
    mongodb_uri: SecretStr = Field(SecretStr(""), description="MongoDB as the online store, unless STORE_URI is set")
    mongodb_database: str = Field("", description="its database; default is the URI's, or else serving_assets")
    mongodb_write_concern: str = Field("majority", description="members that confirm a write: majority, or a number")
    mongodb_read_preference: Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"] = (
        Field("primary", description="members that answer reads of documents")
    )
    mongodb_writers: int = Field(4, ge=1, description="batches of one publish that are written at once")
    mongodb_timeout_seconds: float = Field(30, gt=0, description="how long to wait for a server, or for a new primary")
    first_day: date | None = Field(
        None, description="first daily partition of every domain; default is what each domain declares"
    )
    first_days: dict[str, date] = Field(
        {}, description='first daily partition of some domains, as JSON such as {"shop":"2024-01-01"}; FIRST_DAY wins'
    )
    executor: Literal["multiprocess", "in_process"] = Field(
        "multiprocess", description="how the steps of a run execute"
    )
    engine_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads of the queries of a process"
    )
    engine_memory: str = Field("4GB", description="memory of the queries of a process; what is more goes to disk")
    backfill_processes: int = Field(
        2, ge=1, description="days that a backfill scores at once, each with the threads and the memory above"
    )
    batch_rows: int = Field(65_536, ge=1, description="rows of a batch between lake, engine and store")
    api_cache_mb: int = Field(256, ge=0, description="memory of the API's cache, in each worker")
    api_concurrency: int = Field(256, ge=1, description="requests at a time in each worker; more get 503 at once")
    api_request_seconds: float = Field(
        2.0, gt=0, allow_inf_nan=False, description="time that one request to the API may take"
    )
    api_store_seconds: float = Field(
        0.5, gt=0, allow_inf_nan=False, description="time that one read of the store may take"
    )
    api_keep_alive_seconds: int = Field(
        75, ge=1, description="after how long an idle connection is closed; longer than the proxy in front keeps it"
    )
    api_body_bytes: int = Field(1 << 20, ge=1, description="largest body of a request")
    api_batch_ids: int = Field(1_000, ge=1, description="most ids in one batchGet")
    api_cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "", description="origins whose pages may read answers, separated by commas; * for every origin"
    )
    api_root_path: Annotated[str, AfterValidator(_path_prefix)] = Field(
        "", description="path prefix under which a proxy serves the API, such as /ml"
    )
    rollback_days: int = Field(30, ge=0, description="days that a rollback may go back; older versions are removed")
    rejected_days: int = Field(90, ge=0, description="days for which quarantined rows are kept")
    check_examples: int = Field(
        10, ge=0, le=10, description="offending rows, keys included, that a failed check leaves in Dagster's event log"
    )
    orphan_hours: int = Field(24, ge=1, description="age in hours after which unfinished files are deleted")
    erasure_delay_days: int = Field(0, ge=0, description="days between the request to erase a person and the erasure")
    erasure_secret: SecretStr | None = Field(
        None, description="key of the hashes of erased persons; default: created once, in DATA_DIR"
    )
    price_currency: str = Field("EUR", description="currency of the prices below")
    price_cpu_hour: float = Field(0.04, ge=0, description="price of one core for an hour")
    price_memory_gib_hour: float = Field(0.005, ge=0, description="price of a GiB of memory for an hour")
    price_storage_gib_month: float = Field(0.023, ge=0, description="price of a GiB in the lake for a month")
    price_spot_share: float = Field(0.35, ge=0, le=1, description="price of spot machines, as a share of the others")
    alerts_config: Path | None = Field(
        None, description="channels and owners of alerts; default alerts.yaml in DAGSTER_HOME or in the project"
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="address of the Dagster UI, for links in alerts")
    runbooks_url: str = Field("docs/runbooks", description="where the runbooks are read, for links in alerts")

    @property
    def alerts_file(self) -> Path:
        """File of the incidents and of the notices still to be delivered."""
        return self.data_dir / "alerts.db"

    @property
    def alerts_configuration(self) -> Path | None:
        """File that tells who is alerted; None when there is none."""
        if self.alerts_config is not None:
            return self.alerts_config
        folders = [Path(home)] if (home := os.environ.get("DAGSTER_HOME")) else []
        files = (folder / "alerts.yaml" for folder in (*folders, PROJECT))
        return next((file for file in files if file.is_file()), None)

    @property
    def lake(self) -> str:
        """Root of the lake's tables, a folder or a URI."""
        return self.lake_uri or str(self.data_dir / "lake")

    @property
    def landing_zone(self) -> str:
        """Root of the landing zone, a folder or a URI."""
        return self.landing_uri or str(self.data_dir / "landing")

    @property
    def lands_here(self) -> bool:
        """Whether the landing zone is a folder of this machine."""
        return "://" not in self.landing_zone or self.landing_zone.startswith("file://")

    @property
    def landing(self) -> Path:
        """The landing zone where it is a folder of this machine; else DATA_DIR/landing.

        The API writes its prediction log there, also when upstream systems deliver to an object store.
        """
        if not self.lands_here:
            return self.data_dir / "landing"
        if self.landing_zone.startswith("file://"):
            return Path(unquote(urlsplit(self.landing_zone).path))
        return Path(self.landing_zone).expanduser()

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry URI."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.mlflow_dir / 'mlflow.db'}"

    @property
    def mlflow_dir(self) -> Path:
        """Folder of the local MLflow database and artifacts."""
        return self.data_dir / "mlflow"

    @property
    def store(self) -> str:
        """URI of the online store; it may hold a password."""
        return self.store_uri or self.mongodb_uri.get_secret_value() or f"sqlite:///{self.data_dir / 'online.db'}"

    @property
    def store_kind(self) -> str:
        """What the online store is: `mongodb` or `sqlite`."""
        return self.store.partition(":")[0].removesuffix("+srv")

    @property
    def mongodb(self) -> dict[str, Any]:
        """How MongoDB is used, besides its URI."""
        return {
            "database": self.mongodb_database,
            "write_concern": self.mongodb_write_concern,
            "read_preference": self.mongodb_read_preference,
            "writers": self.mongodb_writers,
            "timeout_seconds": self.mongodb_timeout_seconds,
        }

    @property
    def bundles_dir(self) -> Path:
        """Folder in which downloaded model bundles are kept, by model and version."""
        return self.data_dir / "bundles"

    @property
    def api_keys_file(self) -> Path:
        """File of the API's keys, hashed."""
        return self.data_dir / "api-keys.json"

    @property
    def fetched_dir(self) -> Path:
        """Folder for landed files while they are read."""
        return self.data_dir / "fetched"

    @property
    def scratch_dir(self) -> Path:
        """Folder for what a query spills to disk."""
        return self.data_dir / "scratch"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read at the first call.

    Raises:
        InputError: when one of them has no such value; the value is not shown, because it may be a secret.
    """
    file = Path(os.environ.get("DATA_DIR", PROJECT / "data")) / WORKSPACE_FILE
    try:
        return Settings(_env_file=file)
    except ValidationError as error:
        messages = (
            f"{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        raise InputError(f"{'; '.join(messages)}.", hint=f"Correct it in the environment, or in {file}.") from error


def origin(name: str) -> str:
    """Where the setting of that name has its value from: the environment, or the workspace's file."""
    return (
        f"{name} in the environment" if name in os.environ else f"{name} in {get_settings().data_dir / WORKSPACE_FILE}"
    )


def remember_first_day(domain: str, first: date) -> None:
    """Fix the first day of a domain for this workspace, in `DATA_DIR/settings.env`, for this and later processes.

    Earlier versions wrote it there as the FIRST_DAY of every domain; such a line is removed.
    """
    settings = get_settings()
    path = settings.data_dir / WORKSPACE_FILE
    kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for line in kept if not line.startswith("FIRST_DAYS=") and line != f"FIRST_DAY={first}"]
    days = {name: str(day) for name, day in {**settings.first_days, domain: first}.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, f"FIRST_DAYS={json.dumps(days, separators=(',', ':'))}"])
    path.write_text(f"{text}\n", encoding="utf-8")
    get_settings.cache_clear()
