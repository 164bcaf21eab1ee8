"""`train`: the training job of one use case, and how the model compares with its baselines.

Here: the run and its screen. Not here: fitting, measuring, judging (models/, pipeline/stages/training.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.table import Table

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.screen import console, progress_bar
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.observing.fallback_gap import FallbackGap
from serving_assets.pipeline.observing.last_training import last_training

GAIN = "auc_gain_over_"


def run_training(workspace: Workspace, use_case: BoundUseCase, through: date | None) -> dict[str, Any]:
    """Run the training job; the facts of the model and of the gate, in plain values."""
    with progress_bar() as bar:
        bar.console.print(f"Training {use_case.name} needs {use_case.spec.history_days_needed} days of history.")
        task = bar.add_task(f"training {use_case.name}", total=1)
        outcome = backfill_steps.train(workspace.defs, workspace.instance, use_case, through)
        bar.advance(task)
    numbers = {made.asset.rpartition("/")[2]: dict(made.numbers) for made in outcome.made}
    judged = last_training(workspace.instance, use_case.name)
    return {
        "use_case": use_case.name,
        "run_id": outcome.run_id,
        "failures": list(outcome.failures),
        "model": numbers.get("model", {}),
        "gate": numbers.get("champion", {}),
        "conditions": judged["conditions"] if judged and "champion" in numbers else [],
    }


def print_training(found: dict[str, Any]) -> None:
    """The end of a training as a screen."""
    for why in found["failures"]:
        console.print("[red]failed[/]", end=" ")
        console.print(why, markup=False)
    if model := found["model"]:
        console.print(f"[bold]The model[/], on {model['holdout_rows']:,} held-out predictions it never saw")
        console.print(model_table(model))
    if gate := found["gate"]:
        verdict = "passes the gate" if gate["promoted"] else "does not pass the gate"
        champion = (
            "there is no champion" if gate["champion"] == "none" else f"the champion is version {gate['champion']}"
        )
        console.print(f"Version {gate['candidate']} {verdict}; {champion}.")
        for one in found["conditions"]:
            console.print("  [green]holds[/]" if one["passed"] else "  [red]fails[/]", end=" ")
            console.print(described(one), markup=False)


def described(condition: Mapping[str, Any]) -> str:
    """One condition of the gate, with what was measured and what is demanded."""
    return f"{condition['name']}: measured {condition['measured']}, demanded: {condition['threshold']}"


def failed_conditions(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each condition that does not hold."""
    return [described(one) for one in conditions if not one["passed"]]


def gap_table(gap: FallbackGap) -> Table:
    """The AUC of both champions, and by how much the fallback is worse."""
    table = Table("", "AUC", "model is better by (95 % interval)", box=None, header_style="bold", padding=(0, 2))
    auc = gap.auc
    table.add_row(gap.use_case, f"{auc.auc:.4f}", "")
    table.add_row(gap.fallback, f"{auc.other_auc:.4f}", f"{auc.difference:+.4f}  ({auc.low:+.4f} to {auc.high:+.4f})")
    return table


def model_table(facts: dict[str, Any]) -> Table:
    """The model's AUC beside its baselines', with the interval of each difference."""
    table = Table("", "AUC", "model is better by (95 % interval)", box=None, header_style="bold", padding=(0, 2))
    table.add_row("model", f"{facts['auc']:.4f}", "")
    for name in (n.removeprefix(GAIN) for n in facts if n.startswith(GAIN)):
        if name.endswith(("_low", "_high")):
            continue
        low, high = facts[f"{GAIN}{name}_low"], facts[f"{GAIN}{name}_high"]
        gain = facts[f"{GAIN}{name}"]
        table.add_row(f"{name} alone", f"{facts[f'auc_{name}']:.4f}", f"{gain:+.4f}  ({low:+.4f} to {high:+.4f})")
    return table
