"""`api`: the prediction API on this machine.

Here: starting it. Not here: what it serves (serving/).
"""

from __future__ import annotations

from serving_assets.serving.server import serve
from serving_assets.settings import get_settings


def run_api(host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: the host can be reached from elsewhere and there is no API key.
    """
    serve(get_settings(), host, port, workers)
