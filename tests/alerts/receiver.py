"""Real servers that alerts are sent to: HTTP that can misbehave, and a mail server.

Here: what they receive, and how they answer. Not here: what is expected of it.
"""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

Answer = int | Literal["hang", "cut"]
"""A status; or nothing at all for ten seconds; or the end of the connection after the request has been taken in."""


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object."""
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """What came, and which answer the next request gets."""

    url: str
    answer: Callable[[Request], Answer] = lambda _: 202
    requests: list[Request] = field(default_factory=list)
    wait_seconds: str = ""

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    """An HTTP server on loopback; with a certificate, HTTPS."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.path, dict(self.headers), body)
            receiver.requests.append(request)
            answer = receiver.answer(request)
            if answer == "hang":
                ended.wait(60)
            if isinstance(answer, int):
                self.send_response(answer)
                if receiver.wait_seconds:
                    self.send_header("Retry-After", receiver.wait_seconds)
                text = b"ok" if answer == 200 else f"answer to {self.path}".encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            else:
                self.close_connection = True

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _server(Handler, certificate)
    receiver = Receiver(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield receiver
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


def _server(handler: type[BaseHTTPRequestHandler], certificate: Path | None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def self_signed(folder: Path) -> Path:
    """A certificate for loopback with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def mail_server() -> Iterator[tuple[int, list[EmailMessage]]]:
    """As much of SMTP (RFC 5321) as a client without extensions uses: the port, and the mails that came."""
    mails: list[EmailMessage] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 loopback\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1], mails
    finally:
        server.shutdown()
        server.server_close()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: when it does not come about.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come about")
        time.sleep(0.01)
