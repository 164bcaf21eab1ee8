"""The demo's world outside: it plays the upstream systems with a year of real grocery data.

Here: landing files as an upstream system would. Not here: what the pipeline does with them, or its runs (cli.py).
"""

from __future__ import annotations

from serving_assets.demo.landing import DAILY, ON_REQUEST, SNAPSHOTS, Format, LandedFiles, Progress, land
from serving_assets.demo.shift import FIRST_DAY, NEWEST_DAY, TIMEZONE, Shift

__all__ = [
    "DAILY",
    "FIRST_DAY",
    "NEWEST_DAY",
    "ON_REQUEST",
    "SNAPSHOTS",
    "TIMEZONE",
    "Format",
    "LandedFiles",
    "Progress",
    "Shift",
    "land",
]
