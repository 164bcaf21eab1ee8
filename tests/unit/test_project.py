"""What must hold for the repository itself, whatever its code does.

Not here: style, types and the direction of imports; `make lint` judges them.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.lock": ["demo", "otel"],
    "requirements-dev.lock": ["demo", "dev", "otel"],
}
# Written in parts, so that this file passes its own test.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "maven" + ".org",
    "maven.apache" + ".org",
    "npmjs" + ".",
    "conda.anaconda" + ".org",
    "proxy.golang" + ".org",
    "crates" + ".io",
    "docker" + ".io",
    "ghcr" + ".io",
    "quay" + ".io",
]
MACHINE_PATHS = ["/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", r"[A-Z]:\\Us" + "ers"]
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 40


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that git tracks, apart from those deleted in the working tree."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = (ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def pyproject() -> dict[str, Any]:
    """The project's `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def python_files() -> list[Path]:
    """The tracked Python files."""
    return [path for path in tracked_files() if path.suffix == ".py"]


def lines_that_match(pattern: str) -> list[str]:
    """Every line of a tracked text file in which the pattern is found, with its place."""
    expression = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked_files()
        if b"\0" not in path.read_bytes()[:8192]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if expression.search(line)
    ]


def pins(lock: str) -> dict[str, str]:
    """Package and exact version of every entry of a lock; a package may have one per platform, then the last counts."""
    entries = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", (ROOT / lock).read_text(), flags=re.M)
    return {canonicalize_name(name): version for name, version in entries}


@pytest.mark.must_run
@pytest.mark.parametrize("host", REGISTRY_HOSTS)
def test_no_tracked_file_names_a_package_registry(host: str) -> None:
    """Where packages come from is the choice of whoever installs, so no file names a registry's host."""
    assert lines_that_match(re.escape(host)) == []


@pytest.mark.must_run
@pytest.mark.parametrize("path", MACHINE_PATHS)
def test_no_tracked_file_names_a_path_of_one_machine(path: str) -> None:
    """The project runs from any folder of any machine, so no file holds an absolute path of somebody's."""
    assert lines_that_match(rf"(?<![\w.}}-]){path}") == []


@pytest.mark.must_run
def test_only_locks_that_name_no_index_are_tracked() -> None:
    """Lock formats that write down the index they were made with stay out."""
    names = {path.name for path in tracked_files()}
    assert not names & {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml"}


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-build.lock"])
def test_every_pin_of_a_lock_carries_hashes(lock: str) -> None:
    """A package in a lock has an exact version and at least one SHA-256."""
    entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / lock).read_text(encoding="utf-8"), flags=re.M)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_locks_hold_what_the_project_declares(lock: str, extras: list[str]) -> None:
    """Every dependency in pyproject.toml is locked at a version inside its declared range."""
    project = pyproject()["project"]
    optional = project["optional-dependencies"]
    locked = pins(lock)
    declared = [*project["dependencies"], *(each for extra in extras for each in optional[extra])]
    wrong = [
        str(requirement)
        for requirement in map(Requirement, declared)
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wrong == [], f"{lock} is behind pyproject.toml: run `make lock`"


def test_the_build_lock_holds_the_build_backend() -> None:
    """What `pip install --no-build-isolation` needs is locked as well."""
    locked = pins("requirements-build.lock")
    for text in pyproject()["build-system"]["requires"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_production_runs_what_was_tested(lock: str) -> None:
    """A package in two locks has the same version in both."""
    tested = pins("requirements-dev.lock")
    other = pins(lock)
    assert {name: other[name] for name in other if tested.get(name, other[name]) != other[name]} == {}
    if lock == "requirements.lock":
        assert set(other) <= set(tested)


@pytest.mark.must_run
def test_files_stay_short() -> None:
    """A Python file has fewer than 300 lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert [f"{path.relative_to(ROOT)}: {size}" for path, size in sizes.items() if size >= MOST_LINES] == []


@pytest.mark.must_run
def test_functions_stay_short() -> None:
    """A function has fewer than 40 lines below its docstring."""
    long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0].lineno
                lines = (node.end_lineno or first) - first + 1
                if lines >= MOST_LINES_OF_A_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines}")
    assert long == []


def test_every_target_of_the_makefile_is_explained() -> None:
    """`make help` prints every phony target with one line about it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.M)
    assert phony
    help_text = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"^  make ([\w-]+)\s+\S", help_text, flags=re.M)) == sorted(phony[1].split())


def test_ci_runs_the_commands_that_people_run() -> None:
    """`.ci/run` can be executed, and goes through `make lint`, `make docs` and both kinds of tests."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert {"make lint", "make docs", "make test", "make test-long"} <= {*lines}


def test_pre_commit_fetches_nothing() -> None:
    """Every hook runs a tool of the project's own environment; before a push it is `make check`."""
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in configuration["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in configuration["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["id"] for hook in hooks if not hook["entry"].startswith((".venv/", "make check"))] == []
    assert [hook["entry"] for hook in hooks if "pre-push" in hook.get("stages", ())] == ["make check"]


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        pytest.param("#!/bin/sh\nexit 127\n", "No Python 3.11", id="a-shim-that-fails"),
        pytest.param("#!/bin/sh\necho 3.10\n", "No Python 3.11", id="too-old"),
        pytest.param(
            "#!/bin/sh\ncase $2 in *ensurepip*) exit 1;; *) echo 3.12;; esac\n", "python3.12-venv", id="no-venv"
        ),
        pytest.param("#!/bin/sh\necho 3.13\n", None, id="fits"),
    ],
)
def test_an_unsuitable_python_is_passed_over_with_a_reason(tmp_path: Path, candidate: str, told: str | None) -> None:
    """Only a Python of a supported version that runs and can make a virtual environment is chosen."""
    python = tmp_path / "python"
    python.write_text(candidate)
    python.chmod(0o755)
    found = subprocess.run([ROOT / "scripts" / "find-python", python], capture_output=True, text=True, check=False)
    if told is None:
        assert found.stdout.strip() == str(python)
    else:
        assert found.returncode == 1
        assert told in found.stderr
