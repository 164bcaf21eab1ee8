"""Rules of what a user sees of the gate: every condition with what was measured and what is demanded.

Not here: the decision itself (tests/unit/models/test_training.py).
"""

from __future__ import annotations

import dagster as dg
import pytest

from serving_assets.commands.train import failed_conditions, print_training
from serving_assets.pipeline.observing.last_training import CONDITIONS, last_training

NAME = "churn"
ROWS = [
    {"passed": True, "name": "calibration", "measured": "0.0120", "threshold": "at most 0.05"},
    {
        "passed": False,
        "name": "beats recency",
        "measured": "-0.0010 [-0.0040, +0.0020]",
        "threshold": "95 % interval of the AUC difference above 0",
    },
]


@pytest.fixture
def instance() -> dg.DagsterInstance:
    """An instance on which a candidate did not pass."""
    found = dg.DagsterInstance.ephemeral()
    columns = [dg.TableColumn("passed", "bool"), *(dg.TableColumn(c) for c in ("name", "measured", "threshold"))]
    table = dg.MetadataValue.table([dg.TableRecord(row) for row in ROWS], schema=dg.TableSchema(columns))
    metadata = {"candidate": "3", "champion": "none", "promoted": False, CONDITIONS: table}
    found.report_runless_asset_event(dg.AssetMaterialization([NAME, "champion"], metadata=metadata))
    return found


def test_the_last_training_is_read_back(instance: dg.DagsterInstance) -> None:
    """The newest decision is told with all its conditions; before the first there is none."""
    assert last_training(instance, "other") is None
    found = last_training(instance, NAME)
    assert found is not None
    assert (found["candidate"], found["champion"], found["promoted"]) == ("3", "none", False)
    assert found["conditions"] == ROWS
    assert failed_conditions(found["conditions"]) == [
        "beats recency: measured -0.0010 [-0.0040, +0.0020], demanded: 95 % interval of the AUC difference above 0"
    ]


def test_the_command_says_why(instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]) -> None:
    """`train` prints each condition: whether it holds, what was measured and what is demanded."""
    found = last_training(instance, NAME)
    assert found is not None
    print_training({"failures": [], "model": {}, "gate": found, "conditions": found["conditions"]})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Version 3 does not pass the gate; there is no champion."
    (failed,) = (line for line in lines if "fails" in line)
    assert [part in failed for part in ("beats recency", "-0.0010 [-0.0040, +0.0020]", "above 0")] == [True] * 3
