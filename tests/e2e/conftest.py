"""The slice as the workspace of a user."""

from __future__ import annotations

from tests.pipeline.conftest import bench, built

__all__ = ["bench", "built"]
