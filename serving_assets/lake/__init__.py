"""Delta Lake tables: scan them at a fixed version, replace a table or some of its partitions, travel in time.

Here: what a table is, which files a read needs, how rows get in, who wins when two write, and the removal of files that
no wanted version needs. Not here: SQL over tables (`serving_assets.engines`), what tables exist and why
(`serving_assets.catalog`), when they are written and how long versions are wanted (`serving_assets.pipeline`).
"""

from __future__ import annotations

from serving_assets.lake.log import DataFile
from serving_assets.lake.scan import Scan
from serving_assets.lake.selection import AnyOf, DayRange, Where
from serving_assets.lake.storage import Storage, StoredFile
from serving_assets.lake.table import NO_TABLE, Lake, LakeTable, Written
from serving_assets.lake.vacuum import forget_history, remove_files, remove_table, stale_files

__all__ = [
    "NO_TABLE",
    "AnyOf",
    "DataFile",
    "DayRange",
    "Lake",
    "LakeTable",
    "Scan",
    "Storage",
    "StoredFile",
    "Where",
    "Written",
    "forget_history",
    "remove_files",
    "remove_table",
    "stale_files",
]
