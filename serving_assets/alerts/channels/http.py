"""One POST, with a bound on everything that can take long.

Here: the request, and what each answer means for a later attempt. Not here: what is sent.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from serving_assets.alerts.channels.refusal import Refused

READ_AT_MOST = 2_000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message or a key goes to the declared address and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> None:
    """POST `body`; returns when the answer is one of success.

    Raises:
        Refused: on any other answer, or none within `seconds`.
    """
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    host = urlsplit(url).hostname
    try:
        with _opener.open(request, timeout=seconds) as answer:
            answer.read(READ_AT_MOST)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(READ_AT_MOST).decode("utf-8", "replace").strip()
        raise Refused(f"{host} answered {error.code}: {text or error.reason}", _asked(error)) from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise Refused(f"{host} did not answer: {why or type(error).__name__}", reachable=False) from None


def _asked(error: urllib.error.HTTPError) -> timedelta | None:
    seconds = error.headers.get("Retry-After", "")
    return timedelta(seconds=int(seconds)) if seconds.isdigit() else None
