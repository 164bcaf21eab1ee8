"""Which version of a model serves, for those who must know it without asking MLflow.

Here: a small file beside the bundles, replaced in one rename. Not here: who decides it (promotion.py, registry.py).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from serving_assets.catalog.columns import Spec
from serving_assets.errors import InputError

POINTER = "champion.json"


class Champion(Spec):
    """The file's content."""

    version: str


def point_to_champion(bundles_dir: Path, name: str, version: str) -> None:
    """Tell every API over `bundles_dir` that `version` of the model `name` serves. Its bundle must be there already."""
    path = bundles_dir / name / POINTER
    if path.exists() and champion_version(bundles_dir, name) == version:
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{POINTER}-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(Champion(version=version).model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).chmod(0o644)  # temporary files are private, and the API may run as another user
    Path(temporary).replace(path)


def champion_version(bundles_dir: Path, name: str) -> str | None:
    """The version that serves; None before the first promotion.

    Raises:
        InputError: the file cannot be understood.
    """
    path = bundles_dir / name / POINTER
    try:
        return Champion.model_validate_json(path.read_bytes()).version
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be understood: {type(error).__name__}.",
            hint=f"Delete it and materialize {name}/champion, which writes it anew.",
        ) from error
