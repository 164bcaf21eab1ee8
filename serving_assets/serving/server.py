"""The server: sockets, processes, and the guard against serving the world by accident.

Here: uvicorn's configuration. Not here: the application (build.py).
"""

from __future__ import annotations

import logging
import os
import tempfile

from serving_assets.catalog.discovery import load_catalog
from serving_assets.errors import InputError
from serving_assets.serving.app import Api
from serving_assets.serving.build import build_api
from serving_assets.serving.guard import is_loopback
from serving_assets.serving.keys import read_ring
from serving_assets.serving.logs import JsonHandler, JsonLog
from serving_assets.settings import Settings, get_settings

_PUBLIC = "SERVING_ASSETS_API_PUBLIC"
_WORKERS = "SERVING_ASSETS_API_WORKERS"
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 20


def check_exposure(settings: Settings, host: str) -> bool:
    """Whether `host` is reachable from elsewhere.

    Raises:
        InputError: it is, and there is no API key.
    """
    public = not is_loopback(host)
    if public and not read_ring(settings.api_keys_file).keys:
        raise InputError(
            f"{host} can be reached from other machines, and there are no API keys.",
            mend="Create one (serving-assets keys create CLIENT --use-case '*'), or serve on 127.0.0.1.",
        )
    return public


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until a signal says otherwise; what is in flight is finished first.

    Raises:
        InputError: the host can be reached from elsewhere and there is no API key.
        DeclarationError: the catalog cannot be loaded.
    """
    import uvicorn

    public = check_exposure(settings, host)
    load_catalog(settings.catalog_dir)
    # Workers are processes of their own, and the environment is how they learn what was decided here.
    os.environ[_PUBLIC], os.environ[_WORKERS] = str(int(public)), str(workers)
    with tempfile.TemporaryDirectory(prefix="serving-assets-metrics-") as shared:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        uvicorn.run(
            "serving_assets.serving.server:create",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http="serving_assets.serving.protocol:GuardedProtocol",
            ws="none",
            loop="auto",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )


def create() -> Api:
    """The application of one worker, as `serve` decided."""
    settings = get_settings()
    log = JsonLog()
    root = logging.getLogger()
    root.handlers[:] = [JsonHandler(log)]
    root.setLevel(logging.INFO)
    public, workers = os.environ.get(_PUBLIC, "1") == "1", int(os.environ.get(_WORKERS, "1"))
    return build_api(settings, load_catalog(settings.catalog_dir), public=public, workers=workers, log=log)
