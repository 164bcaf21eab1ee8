"""The server: its configuration, and the guard against serving the world by accident.

Here: what is decided before serving begins. Not here: the processes (workers.py), the application (build.py).
"""

from __future__ import annotations

import logging
import os
import tempfile

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from serving_assets.catalog.discovery import open_catalog
from serving_assets.errors import InputError, ServingAssetsError
from serving_assets.serving.app import Api
from serving_assets.serving.build import build_api
from serving_assets.serving.http.guard import is_loopback
from serving_assets.serving.http.keys import read_ring
from serving_assets.serving.telemetry.logs import JsonHandler, JsonLog
from serving_assets.serving.telemetry.metrics import SHARED_DIR
from serving_assets.serving.workers import run
from serving_assets.settings import Settings, get_settings

_PUBLIC = "SERVING_ASSETS_API_PUBLIC"
_WORKERS = "SERVING_ASSETS_API_WORKERS"
SHUTDOWN_SECONDS = 20
HEALTH_SECONDS = 10
"""How long a worker may leave its parent's health check unanswered before it is replaced; long, for busy machines."""


def check_exposure(settings: Settings, host: str) -> bool:
    """Whether `host` is reachable from elsewhere.

    Raises:
        InputError: it is, and there is no API key.
    """
    public = not is_loopback(host)
    if public and not read_ring(settings.api_keys_file).keys:
        raise InputError(
            f"{host} can be reached from other machines, and there are no API keys.",
            hint="Create one (serving-assets keys create CLIENT --use-case '*'), or serve on 127.0.0.1.",
        )
    return public


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until a signal; requests in flight are finished first.

    Raises:
        InputError: the host can be reached from elsewhere and there is no API key, or the address cannot be bound.
        DeclarationError: the catalog cannot be loaded.
        NotStarted: a worker cannot start.
    """
    public = check_exposure(settings, host)
    open_catalog(settings.catalog_dir)
    # Workers are processes of their own, and get what was decided here through the environment.
    os.environ[_PUBLIC], os.environ[_WORKERS] = str(int(public)), str(workers)
    config = Config(
        f"serving_assets.serving.server:{'create' if workers == 1 else 'create_or_leave'}",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http="serving_assets.serving.http.guarded_protocol:GuardedProtocol",
        ws="none",
        loop="auto",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        root_path=settings.api_root_path,
        timeout_keep_alive=settings.api_keep_alive_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_worker_healthcheck=HEALTH_SECONDS,
    )
    with tempfile.TemporaryDirectory(prefix="serving-assets-metrics-") as shared:
        if workers > 1:
            os.environ[SHARED_DIR] = shared
        run(config, _log())


def create() -> Api:
    """The application of one process, as `serve` decided."""
    settings = get_settings()
    public, workers = os.environ.get(_PUBLIC, "1") == "1", int(os.environ.get(_WORKERS, "1"))
    return build_api(settings, open_catalog(settings.catalog_dir), public=public, workers=workers, log=_log())


def create_or_leave() -> Api:
    """The application of one worker of several; one that cannot be built logs the reason and is not retried."""
    try:
        return create()
    except ServingAssetsError as error:
        log = _log()
        log.write("not_started", error=str(error))
        log.flush()
        raise SystemExit(STARTUP_FAILURE) from error


def _log() -> JsonLog:
    """The log of this process, which takes what libraries log too."""
    log = JsonLog()
    root = logging.getLogger()
    root.handlers[:] = [JsonHandler(log)]
    root.setLevel(logging.INFO)
    return log
