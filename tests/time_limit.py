"""The limit on what one test may take, unless it is marked long: it fails the run, so that the loop stays quick.

Here: measuring a test, and the rule. Not here: the timeout that ends a test which hangs (`timeout` in pyproject.toml).

A test that passes on a quiet machine must pass on a busy one, so the clock alone decides nothing. A test is over the
limit when it takes longer than that by the clock, and one of two measures that do not grow with the load agrees:

- the CPU seconds of this process and of every process below it;
- the clock without the time in which anything on the machine waited for a processor (Linux' pressure stall
  information): what is left is computing on a free machine, and waiting for a sleep or a server.

What a fixture of the session needs is not counted, because the test that comes first pays for all.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

LIMIT = pytest.StashKey[float]()
SHARED = pytest.StashKey["Usage"]()
BEGAN = pytest.StashKey["Usage"]()
PRESSURE = Path("/proc/pressure/cpu")
TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """Seconds by the clock, of computing, and of waiting for a processor, since the machine or process began."""

    def __init__(self, clock: float = 0.0, cpu: float = 0.0, stalled: float = 0.0) -> None:
        self.clock, self.cpu, self.stalled = clock, cpu, stalled

    @classmethod
    def now(cls) -> Usage:
        """Read the meters."""
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(used.ru_utime + used.ru_stime for used in own) + _descendants_cpu()
        return cls(time.monotonic(), cpu, _stalled())

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.clock + other.clock, self.cpu + other.cpu, self.stalled + other.stalled)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.clock - other.clock, self.cpu - other.cpu, self.stalled - other.stalled)

    @property
    def seconds(self) -> float:
        """What counts against the limit."""
        return max(min(self.clock, self.cpu), self.clock - self.stalled)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting of the limit."""
    parser.addini("seconds_per_test", "what a test that is not marked long may take", default="10")


def pytest_configure(config: pytest.Config) -> None:
    """Read the setting."""
    config.stash[LIMIT] = float(config.getini("seconds_per_test"))
    config.stash[SHARED] = Usage()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Keep apart what is made once for the session."""
    if fixturedef.scope != "session":
        return (yield)
    known, began = request.config.stash[SHARED], Usage.now()
    try:
        return (yield)
    finally:  # in place of what shared fixtures inside this one have added
        request.config.stash[SHARED] = known + (Usage.now() - began)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin to measure, what is set up for this test alone included."""
    item.stash[BEGAN] = Usage.now() - item.config.stash[SHARED]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail the test if it passed, but over the limit."""
    yield
    used = Usage.now() - item.config.stash[SHARED] - item.stash[BEGAN]
    limit = item.config.stash[LIMIT]
    if used.seconds > limit and not item.get_closest_marker("long"):
        pytest.fail(
            f"It took {used.seconds:.1f} s of the {limit:g} s of a test that is not marked long "
            f"({used.clock:.1f} s by the clock, {used.cpu:.1f} s of computing, its set-up included). "
            "Give it less to do, share what it needs by a fixture of the session, or mark it long.",
            pytrace=False,
        )


def _stalled() -> float:
    """Seconds in which something on the machine waited for a processor: all of them, where nothing counts them."""
    try:
        some = PRESSURE.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return time.monotonic()
    return int(some.rpartition("total=")[2]) / 1e6


def _descendants_cpu() -> float:
    """CPU seconds of the processes below this one that still live, and of those that these have waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0.0  # most tests have no process but this one: it is not worth a look at all of the machine's
    parents, cpu = dict[int, int](), dict[int, float]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_bytes().rpartition(b")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], cpu[pid] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return sum(cpu[pid] for pid in cpu if _is_below(pid, os.getpid(), parents))


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid := parents.get(pid, 0):
        if pid == ancestor:
            return True
    return False
