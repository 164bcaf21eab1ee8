"""A signed webhook, for everything that has no channel of its own.

Here: the headers and the signature. Not here: the fields of the body (message.py).

    Idempotency-Key: the same for every attempt to send the same notice
    X-Serving-Assets-Timestamp: seconds since 1970, when the attempt began
    X-Serving-Assets-Signature: sha256=<hex of HMAC-SHA256 over "<timestamp>.<body>" with the secret>
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

from serving_assets.alerts.channels.http import post
from serving_assets.alerts.channels.refusal import Refused, Send
from serving_assets.alerts.config import Webhook
from serving_assets.alerts.message import Message


def webhook(hook: Webhook) -> Send:
    """Send to an endpoint."""
    url, secret = hook.url.get_secret_value(), hook.secret.get_secret_value()

    def send(message: Message, seconds: float) -> None:
        body = json.dumps({**message.fields, "title": message.title, "text": message.text}).encode()
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.notice.key,
            "X-Serving-Assets-Timestamp": stamp,
            "X-Serving-Assets-Signature": f"sha256={signature(secret, stamp, body)}",
        }
        try:
            post(url, body, headers, seconds)
        except Refused as refused:
            raise refused.without([url, secret]) from None

    return send


def signature(secret: str, stamp: str, body: bytes) -> str:
    """The signature of a body that was sent at `stamp`, in hex; the receiver compares it in constant time."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
