"""Files that arrive from upstream systems, until their rows stand in a raw table or in quarantine.

Here: the landing zone, the formats, the contract of a source, and ingesting a delivery. Not here: when a delivery is
ingested (pipeline/automation/), or the raw asset (pipeline/stages/raw.py).
"""
