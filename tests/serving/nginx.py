"""A real nginx in front of a served world, with the configuration that docs/api.md shows.

Here: starting and stopping it, as this user, on a free port of loopback. Not here: what must hold behind it
(test_behind_nginx.py).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.unit.docs.blocks import blocks

WHOLE = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    {temporary}
    {documented}
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
PLACES = (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")


def nginx() -> str | None:
    """The program; Debian puts it where only root looks."""
    return shutil.which("nginx", path=os.pathsep.join(PLACES))


def documented() -> str:
    """The block of docs/api.md."""
    (block,) = (one for one in blocks("nginx") if one.path.name == "api.md")
    return block.text


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def nginx_before(api_port: int, folder: Path) -> Iterator[int]:
    """An nginx that shows the API at `api_port` under /ml; yields its port."""
    port = free_port()
    text = documented()
    for written, meant in (("127.0.0.1:8000", f"127.0.0.1:{api_port}"), ("listen 443 ssl", f"listen 127.0.0.1:{port}")):
        assert text.count(written) == 1
        text = text.replace(written, meant)
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    config = folder / "nginx.conf"
    config.write_text(WHOLE.format(folder=folder, temporary=temporary, documented=text))
    program = nginx()
    assert program is not None
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            try:
                socket.create_connection(("127.0.0.1", port), timeout=30).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)
