"""Rows of persons in parity certificates: models trained by early releases kept the row of the largest difference.

Here: finding and removing those rows, in downloaded bundles and in the registry's artifacts on this machine. Not here:
certificates as they are written now (models/parity.py), which hold no row.

The row has no key, so its person is unknown: an erasure removes all of them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from serving_assets.models.bundle import MANIFEST
from serving_assets.pipeline.platform import Platform

CERTIFICATE, ROW = "parity.json", "features"


def certificates_with_rows(platform: Platform) -> list[Path]:
    """Return the certificates that hold a row of features."""
    folders = (platform.settings.bundles_dir, platform.settings.mlflow_dir)
    return [file for folder in folders for file in sorted(folder.rglob(CERTIFICATE)) if ROW in _worst(file)]


def erase_certified_rows(platform: Platform) -> None:
    """Remove the row from each, and enter the new digest in its bundle's manifest; may be killed and repeated."""
    for file in certificates_with_rows(platform):
        certificate = json.loads(file.read_bytes())
        del certificate["worst"][ROW]
        text = json.dumps(certificate, indent=2).encode()
        manifest = file.with_name(MANIFEST)
        if manifest.exists():  # first: after a kill in between, the bundle is refused and the erasure is repeated
            stated = json.loads(manifest.read_bytes())
            stated["files"][CERTIFICATE] = hashlib.sha256(text).hexdigest()
            _replace(manifest, json.dumps(stated, indent=2).encode())
        _replace(file, text)


def _worst(file: Path) -> dict[str, object]:
    try:
        return json.loads(file.read_bytes()).get("worst") or {}
    except (ValueError, AttributeError):
        return {}


def _replace(file: Path, content: bytes) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(content)
    fresh.replace(file)
