"""What the project defines, as text that a reviewer can read.

Not here: what any of it does.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph, AssetNode
from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy


def outline(defs: dg.Definitions) -> str:
    """Assets with all that the UI shows of them, jobs with what they run, schedules with when."""
    repository = defs.get_repository_def()
    graph = defs.resolve_asset_graph()
    lines = [line for key in sorted(graph.get_all_asset_keys()) for line in _asset(graph, graph.get(key))]
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            lines += _job(job)
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        state, cron = schedule.default_status.value.lower(), schedule.cron_schedule
        lines += [
            f"schedule {schedule.name}",
            f"  {cron if isinstance(cron, str) else '; '.join(cron)} {schedule.execution_timezone}, {state}, "
            f"runs {schedule.job_name}",
        ]
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        runs = f", runs {sensor._targets[0].job_name}" if sensor._targets else ""
        every = f"every {sensor.minimum_interval_seconds} s"
        lines += [f"sensor {sensor.name}", f"  {every}, {sensor.default_status.value.lower()}{runs}"]
    return "\n".join(lines) + "\n"


def _asset(graph: AssetGraph, node: AssetNode) -> Iterator[str]:
    yield f"asset {node.key.to_user_string()}"
    yield f"  group {node.group_name}; owners {', '.join(node.owners)}; kinds {', '.join(sorted(node.kinds))}"
    if isinstance(days := node.partitions_def, dg.DailyPartitionsDefinition):
        policy = node.backfill_policy
        chunk = f", at most {policy.max_partitions_per_run} days a run" if policy else ""
        yield f"  daily from {days.start.date()} {days.timezone}{chunk}"
    yield from _due(node)
    for parent in sorted(node.parent_keys):
        yield f"  reads {parent.to_user_string()}{_window(graph, node, parent)}"
    for key in sorted(node.check_keys):
        spec = graph.get_check_spec(key)
        yield f"  check {key.name}{', blocks' if spec.blocking else ''}"
    if node.pools:
        yield f"  pool {', '.join(sorted(node.pools))}"


def _due(node: AssetNode) -> Iterator[str]:
    policy = node.freshness_policy
    if isinstance(policy, CronFreshnessPolicy):
        hours = policy.lower_bound_delta.total_seconds() / 3600
        yield f"  due {policy.deadline_cron} {policy.timezone}, made in the {hours:g} hours before"
    elif isinstance(policy, TimeWindowFreshnessPolicy):
        yield f"  due every {policy.fail_window.to_timedelta()}"


def _window(graph: AssetGraph, node: AssetNode, parent: dg.AssetKey) -> str:
    mapping = graph.get_partition_mapping(node.key, parent)
    if isinstance(mapping, dg.TimeWindowPartitionMapping) and (mapping.start_offset, mapping.end_offset) != (0, 0):
        return f", days {mapping.start_offset} to {mapping.end_offset}"
    return ""


def _job(job: dg.JobDefinition) -> Iterator[str]:
    yield f"job {job.name}"
    if job.partitions_def:
        yield "  partitioned"
    for key in sorted(job.asset_layer.executable_asset_keys):
        yield f"  runs {key.to_user_string()}"
    if not job.asset_layer.executable_asset_keys:
        yield from sorted(f"  runs op {node.name}" for node in job.graph.nodes)
