"""The audit of pinned versions, with a pip-audit that answers what the test wants."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

Audit = Callable[..., "subprocess.CompletedProcess[str]"]
BAD = {"name": "numpy", "version": "2.4.6", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.4.7"]}]}
GOOD = {"name": "torch", "version": "2.14.1", "vulns": []}
UNKNOWN = {
    "name": "ruff",
    "skip_reason": "Dependency not found on PyPI and could not be audited: ruff (0.17.6)",
}


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Runs the audit; pip-audit prints what is given and keeps the requirements it was called with."""

    def run(stdout: str = "", stderr: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        fake = tmp_path / "pip-audit"
        fake.write_text(
            f"""#!{sys.executable}
import shutil, sys
shutil.copy(sys.argv[sys.argv.index("--requirement") + 1], {str(tmp_path / "asked")!r})
print({stdout!r})
print({stderr!r}, file=sys.stderr)
sys.exit({code})
"""
        )
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        command = [sys.executable, str(ROOT / ".ci/audit")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_known_advisory_fails_and_is_named_with_its_mending(audit: Audit) -> None:
    done = audit(answer(GOOD, BAD), code=1)
    assert (done.returncode, done.stderr) == (1, "audit: numpy 2.4.6: PYSEC-1, fixed in 2.4.7\n")


def test_every_pin_is_asked_for(audit: Audit, tmp_path: Path) -> None:
    done = audit(answer(GOOD))
    assert done.returncode == 0
    assert done.stderr.startswith("audit: no advisory is known for 1 of ")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if line.startswith(("torch==", "ruff=="))] != []
    assert all("==" in line for line in asked)
    assert f" of {len(asked)} pins" in done.stderr


def test_what_could_not_be_looked_up_is_named(audit: Audit) -> None:
    done = audit(answer(GOOD, UNKNOWN))
    assert done.returncode == 0
    assert done.stderr.endswith("; NOT CHECKED: ruff\n")


@pytest.mark.parametrize(
    ("stdout", "stderr", "code"),
    [
        (answer(UNKNOWN), "No known vulnerabilities found", 0),
        ("", "requests.exceptions.ConnectionError: Failed to resolve 'api.osv.dev'", 1),
        ("", "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed", 1),
    ],
)
def test_a_service_that_does_not_answer_is_said_and_fails_nothing(
    audit: Audit, stdout: str, stderr: str, code: int
) -> None:
    done = audit(stdout, stderr, code)
    assert done.returncode == 0
    assert done.stderr.startswith("audit: NOT CHECKED, ")
    assert "no advisory is known" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_any_other_failure_of_pip_audit_fails(audit: Audit) -> None:
    done = audit("", "pip-audit: error: unrecognized arguments: --format", 2)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "unrecognized arguments" in done.stderr


def test_a_missing_pip_audit_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [sys.executable, str(ROOT / ".ci/audit")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "audit: pip-audit is not installed; `make lint` installs it\n",
    )


def test_linting_audits() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    assert "python .ci/audit" in recipe
