"""Where no Slurm is started for tests: above all, where there is one already."""

from pathlib import Path

import pytest

from tests.cluster import slurm


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that could have one: programs are there, its user is root, and /etc/slurm is a folder of the test."""
    monkeypatch.setattr(slurm.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(slurm.os, "geteuid", lambda: 0)
    monkeypatch.setattr(slurm, "ETC", tmp_path)
    monkeypatch.setattr(slurm, "DAEMONS", ())


def test_none() -> None:
    assert slurm.hindrance() is None


def test_a_link_that_a_killed_test_run_left_is_none(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").symlink_to(slurm.BASE / "slurm.conf")
    assert slurm.hindrance() is None


def test_a_configuration_of_the_machine_s_own(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text("ClusterName=mine\n")
    assert slurm.hindrance() == f"this machine has a Slurm of its own ({tmp_path}/slurm.conf)"


def test_a_link_to_a_configuration_of_the_machine_s_own(tmp_path: Path) -> None:
    (tmp_path / "gres.conf").symlink_to("/somewhere/gres.conf")
    assert slurm.hindrance() == f"this machine has a Slurm of its own ({tmp_path}/gres.conf)"


def test_a_daemon_that_no_test_started(monkeypatch: pytest.MonkeyPatch) -> None:
    name = Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(slurm, "DAEMONS", (name,))
    assert slurm.hindrance() == f"this machine has a Slurm of its own ({name} runs)"


def test_missing_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None if name == "slurmd" else name)
    assert slurm.hindrance() == "no Slurm to test with: slurmd not found"


def test_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm.os, "geteuid", lambda: 1000)
    assert slurm.hindrance() == "only root can start a Slurm"
