"""Every kind of problem an answer can be, for those who must react to it.

Here: code, status and what to do. Not here: raising them (where the fault is known), their form (messages.py).
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind: its HTTP status, and what the caller does about it."""

    status: int
    hint: str


PROBLEMS = {
    "invalid-request": Kind(400, "Correct the request as detail says; the same one will fail again."),
    "invalid-http": Kind(400, "The bytes were no HTTP request; look at the client library or the proxy."),
    "unauthorized": Kind(401, "Send a valid key. A key that worked before has been revoked or has expired."),
    "forbidden": Kind(403, "Ask the owners for a key whose scope covers this."),
    "origin-not-allowed": Kind(403, "Ask through your own server, or have the origin configured."),
    "not-found": Kind(404, "Nobody of this id has a prediction; show what you show to a newcomer."),
    "expired": Kind(404, "The prediction is too old to be used; treat it as none."),
    "no-such-use-case": Kind(404, "GET /v1/use-cases lists those that exist."),
    "no-such-route": Kind(404, "/docs lists the routes."),
    "not-offered": Kind(404, "The use case does not declare this; its owners can."),
    "method-not-allowed": Kind(405, "The header allow lists the methods."),
    "request-timeout": Kind(408, "Send the request faster, or in smaller parts."),
    "too-large": Kind(413, "Send less, in several requests."),
    "unsupported-media-type": Kind(415, "Send the body as application/json."),
    "misdirected-request": Kind(421, "Use localhost, or a server that has API keys."),
    "unscorable": Kind(422, "Send the features that detail names; there is no other source for them."),
    "too-many-requests": Kind(429, "Wait for as many seconds as retry-after says, and ask for more in one batchGet."),
    "head-too-large": Kind(431, "Send fewer or shorter headers."),
    "internal-error": Kind(500, "A fault of the server; tell its owners the request_id."),
    "unavailable": Kind(503, "Wait for as many seconds as retry-after says; go on showing what you have."),
    "too-busy": Kind(503, "Wait for as many seconds as retry-after says."),
    "too-slow": Kind(504, "Wait for as many seconds as retry-after says; ask for less at once."),
}
