"""The rule of tests/time_limit.py, shown on small test sessions of its own."""

from __future__ import annotations

import ast
import time
from math import inf
from pathlib import Path

import pytest

from tests import time_limit
from tests.time_limit import Usage

TESTS = Path(__file__).parents[1]
COMPUTE = """
import subprocess, sys, time
import pytest

CHILD = "import time\\nwhile time.process_time() < 0.4: pass"

def compute():
    began = time.process_time()
    while time.process_time() - began < 0.4:
        pass

@pytest.fixture(scope="session")
def shared():
    compute()

@pytest.fixture
def own():
    compute()
"""


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        pytest.param("def test_it(): pass", True, id="quick"),
        pytest.param("def test_it(): compute()", False, id="computes"),
        pytest.param("def test_it(): subprocess.run([sys.executable, '-c', CHILD])", False, id="its-process-computes"),
        pytest.param("def test_it(own): pass", False, id="its-set-up-computes"),
        pytest.param("def test_it(shared): pass", True, id="the-session's-set-up-computes"),
        pytest.param("@pytest.mark.long\ndef test_it(): compute()", True, id="long"),
    ],
)
def test_a_test_over_the_limit_fails(pytester: pytest.Pytester, source: str, passes: bool) -> None:
    """A test whose own computing is over the limit fails, unless it is long; what it shares is not its own."""
    pytester.makeconftest('pytest_plugins = ["tests.time_limit"]')
    pytester.makeini("[pytest]\nmarkers = long\nseconds_per_test = 0.3")
    pytester.makepyfile(COMPUTE + source)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert (result.ret == pytest.ExitCode.OK) is passes, result.stdout.str()
    if not passes:
        assert "of the 0.3 s of a test that is not marked long" in result.stdout.str()


@pytest.mark.parametrize(
    ("used", "counted"),
    [
        pytest.param(Usage(clock=60, cpu=4, stalled=55), 5, id="on a busy machine only computing counts"),
        pytest.param(Usage(clock=60, cpu=12, stalled=60), 12, id="computing counts on a busy machine too"),
        pytest.param(Usage(clock=6, cpu=12, stalled=0), 6, id="computing side by side counts by the clock"),
        pytest.param(Usage(clock=30, cpu=1, stalled=2), 28, id="waiting on a free machine counts"),
    ],
)
def test_the_load_of_the_machine_does_not_count(used: Usage, counted: float) -> None:
    """The clock counts while nothing waited for a processor; computing always counts, at most as long as the clock."""
    assert used.seconds == counted


def test_without_the_kernels_count_waiting_never_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing counts how long processes wait for a processor, only computing makes a test fail."""
    monkeypatch.setattr(time_limit, "PRESSURE", tmp_path / "none")
    began = Usage.now()
    time.sleep(0.2)
    used = Usage.now() - began
    assert used.clock >= 0.2
    assert used.seconds == pytest.approx(used.cpu, abs=0.01)


PATIENT = 30
"""Seconds that a machine gets which is busy with something else."""
LONGEST_SLEEP = 0.5
"""Of one round of waiting for a condition, or of giving something a chance to go wrong."""


def test_no_test_waits_for_too_short_a_time() -> None:
    """A literal deadline or timeout of a test is patient, and no sleep stands for a condition.

    What is shorter is a constant whose docstring says why, or is given to the code under test, which is to give up.
    """
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node)}"
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _is_hasty(node)
    ]
    assert found == []


def _is_hasty(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and ast.unparse(node.left) == "time.monotonic()":
        return _number(node.right) < PATIENT
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    if name == "time.sleep":
        return LONGEST_SLEEP < _number(node.args[0]) < inf
    if name.rpartition(".")[2] in ("join", "wait", "settimeout") and node.args:
        return _number(node.args[0]) < PATIENT
    return any(_number(option.value) < PATIENT for option in node.keywords if option.arg == "timeout")


def _number(node: ast.expr) -> float:
    """The value of a literal number; nothing is longer than another expression."""
    return node.value if isinstance(node, ast.Constant) and type(node.value) in (int, float) else inf
