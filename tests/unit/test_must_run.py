"""The rule of tests/conftest.py about skips, shown on small test sessions of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text()
SKIPPED_TEST = "import pytest\n\n{mark}\ndef test_it():\n    {body}\n"
SKIP = "pytest.skip('no server')"


@pytest.mark.parametrize(
    ("source", "arguments", "ci", "passes"),
    [
        pytest.param(SKIPPED_TEST.format(mark="@pytest.mark.must_run", body=SKIP), [], "", True, id="at-home"),
        pytest.param(
            SKIPPED_TEST.format(mark="@pytest.mark.must_run", body=SKIP), ["--no-skips"], "", False, id="asked"
        ),
        pytest.param(SKIPPED_TEST.format(mark="@pytest.mark.must_run", body=SKIP), [], "true", False, id="in-ci"),
        pytest.param(SKIPPED_TEST.format(mark="", body=SKIP), [], "true", True, id="a-test-that-may-be-skipped"),
        pytest.param(
            SKIPPED_TEST.format(mark="@pytest.mark.must_run\n@pytest.mark.skip(reason='later')", body="pass"),
            ["--no-skips"],
            "",
            False,
            id="skipped-by-mark",
        ),
        pytest.param(
            "import pytest\npytest.importorskip('no_such_package')\n", ["--no-skips"], "", False, id="whole-module"
        ),
    ],
)
def test_a_must_run_test_is_never_skipped_in_ci(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    arguments: list[str],
    ci: str,
    passes: bool,
) -> None:
    """The skip of a test marked must_run fails the session in CI and with --no-skips, and nowhere else."""
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest(CONFTEST.replace('pytest_plugins = ["pytester"]', ""))
    pytester.makeini("[pytest]\nmarkers = must_run")
    pytester.makepyfile(source)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
    assert (result.ret in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}) is passes, result.stdout.str()
