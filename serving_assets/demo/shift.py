"""When the demo's year takes place: the real days, moved forward by whole weeks and remembered.

Here: the arithmetic of the shift and the file that keeps it. Not here: reading or writing data (landing.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from serving_assets.errors import InputError

TIMEZONE = "America/New_York"
"""The clock of the shops."""

FIRST_DAY, NEWEST_DAY = date(2017, 1, 1), date(2017, 12, 31)
"""First and newest local day of the real data."""

MEMORY = "demo.json"


@dataclass(frozen=True)
class Shift:
    """Whole weeks by which every local day moves, so that weekday and local hour keep their meaning."""

    weeks: int = 0

    @classmethod
    def reaching(cls, day: date) -> Shift:
        """The smallest shift, forward or none, that leaves no day up to `day` without data."""
        return cls(max(0, -((NEWEST_DAY - day).days // 7)))

    @property
    def first(self) -> date:
        """First day with data."""
        return self.moved(FIRST_DAY)

    @property
    def newest(self) -> date:
        """Newest day with data."""
        return self.moved(NEWEST_DAY)

    def moved(self, day: date) -> date:
        """Where the real day `day` comes to lie."""
        return day + timedelta(weeks=self.weeks)

    @classmethod
    def remembered(cls, landing: Path) -> Shift | None:
        """The shift of what was landed in `landing` before, or None when nothing was.

        Raises:
            InputError: when the file that keeps it cannot be read.
        """
        path = landing / MEMORY
        if not path.exists():
            return None
        try:
            return cls(int(json.loads(path.read_text(encoding="utf-8"))["weeks"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: does not hold by how many weeks the landed data is shifted.",
                hint="Remove the landing folder and land anew.",
            ) from error

    def remember(self, landing: Path) -> None:
        """Keep the shift in `landing`, so that what arrives later fits what is there."""
        landing.mkdir(parents=True, exist_ok=True)
        facts = {"weeks": self.weeks, "first_day": self.first.isoformat(), "newest_day": self.newest.isoformat()}
        temporary = landing / f".{MEMORY}"
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        temporary.replace(landing / MEMORY)
