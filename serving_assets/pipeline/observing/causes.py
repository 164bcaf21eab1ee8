"""Which failure another one explains, so that one cause calls once.

Here: the same check on tables that are made of each other, on the same days. Not here: refusals, which name their cause
themselves (pipeline/stages/input_gates.py), or what a cause does to a finding (alerts/incident_store.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from serving_assets.alerts.records import ALL, Days, Finding, Incident, Severity
from serving_assets.pipeline.dagster_instance.asset_graph import AssetGraph

OF_A_LINEAGE = frozenset({"volume", "totals", "typical_amounts"})
"""Checks that measure the same thing all along a lineage: a peak of the source is a peak of what is made of it."""


def with_causes(findings: Sequence[Finding], graph: AssetGraph, open_incidents: Iterable[Incident]) -> list[Finding]:
    """Return the findings, the nearest to the sources first among those of one instant, with their causes."""
    known: dict[tuple[str, str], list[tuple[Days, Severity]]] = {}
    for incident in open_incidents:
        states = [(one.days, one.severity) for one in incident.failing]
        known.setdefault((incident.key.asset, incident.key.kind), []).extend(states)
    for finding in findings:
        if finding.severity is not Severity.OK:
            known.setdefault((finding.key.asset, finding.key.kind), []).append((finding.days, finding.severity))
    return [_with_cause(finding, graph, known) for finding in findings]


def _with_cause(
    finding: Finding, graph: AssetGraph, known: dict[tuple[str, str], list[tuple[Days, Severity]]]
) -> Finding:
    key, kind = dg.AssetKey(finding.key.asset.split("/")), finding.key.kind
    if finding.severity is Severity.OK or finding.cause or kind not in OF_A_LINEAGE or not graph.has(key):
        return finding
    for ancestor in sorted(graph.get_ancestor_asset_keys(key)):
        name = ancestor.to_user_string()
        states = known.get((name, kind), [])
        if any(severity >= finding.severity and _overlap(days, finding.days) for days, severity in states):
            return replace(finding, cause=f"{name}:{kind}")
    return finding


def _overlap(one: Days, other: Days) -> bool:
    return ALL in (one, other) or (one.first <= other.last and other.first <= one.last)
