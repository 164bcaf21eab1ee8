"""Delta Lake tables: scan them at a fixed version, replace a table or some of its partitions, travel in time.

Here: what a table is, which files a read needs, how rows get in, and who wins when two write. Not here: SQL over tables
(`serving_assets.engines`), what tables exist and why (`serving_assets.catalog`), when they are written
(`serving_assets.pipeline`), or the removal of old versions.
"""

from __future__ import annotations

from serving_assets.lake.log import DataFile
from serving_assets.lake.scan import Scan
from serving_assets.lake.selection import DayRange, Where
from serving_assets.lake.table import NO_TABLE, Lake, LakeTable, Written

__all__ = ["NO_TABLE", "DataFile", "DayRange", "Lake", "LakeTable", "Scan", "Where", "Written"]
