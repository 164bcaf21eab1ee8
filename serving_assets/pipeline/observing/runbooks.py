"""Runbooks of what is neither a check nor a kind of alert, but stands in the status of a use case.

Here: their names, under which docs/runbooks/ has a page each. Not here: the pages, or who shows them (status.py).
"""

from __future__ import annotations

STORE_UNREACHABLE, STORE_LOST, LEASE_HELD = "store_unreachable", "store_lost", "lease_held"
REGISTRY_UNREACHABLE, ALERTS_STOPPED = "registry_unreachable", "alerts_stopped"
OF_THE_STATUS = (STORE_UNREACHABLE, STORE_LOST, LEASE_HELD, REGISTRY_UNREACHABLE, ALERTS_STOPPED)
OF_DECISIONS = ("retire",)
"""What a team decides by day, with a page in the same form."""
