"""The built wheel, installed somewhere of its own and used from another folder, works: configurations and data files included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CARRIED = ("conf", "envs", "gcrl", "goal_samplers", "representations")
TINY = "experiment=bitflip env.n=4 practice.epochs=2 practice.simulators=2 practice.episodes_per_epoch=4 practice.updates_per_epoch=2"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources (building leaves files behind) and unpack it by pip into a folder; return that folder."""
    base = tmp_path_factory.mktemp("wheel")
    for name in CARRIED:
        shutil.copytree(ROOT / name, base / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, base / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", base / "dist", base / "source"], check=True)
    (wheel,) = (base / "dist").glob("gcrl-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", base / "site", wheel], check=True)
    return base / "site"


def use(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder` with the installed copy before the checkout on the path."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-P", *command], capture_output=True, text=True, cwd=folder, env=environment)


def test_the_wheel_carries_every_file_of_the_packages(installed: Path) -> None:
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", *CARRIED], capture_output=True, text=True).stdout.split()
    if not tracked:  # a source archive has no git
        tracked = [str(path.relative_to(ROOT)) for name in CARRIED for path in (ROOT / name).rglob("*.py")]
    missing = [name for name in tracked if (ROOT / name).exists() and not (installed / name).exists()]
    assert not missing


def test_the_installed_copy_is_the_one_in_use_and_lists_its_choices(installed: Path, tmp_path: Path) -> None:
    where = use(installed, tmp_path, "-c", "import gcrl, envs, conf; print(gcrl.__file__, envs.__file__, conf.__file__)")
    assert where.stdout.count(str(installed)) == 3, where.stderr
    listed = use(installed, tmp_path, "-m", "gcrl", "list", "experiment")
    assert "door_explore" in listed.stdout, listed.stderr


def test_a_tiny_practice_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    done = use(installed, tmp_path, "-m", "gcrl", "practice", *TINY.split(), "practice.final_goals=4", "run_dir=out")
    assert done.returncode == 0, done.stderr
    for name in ("config.yaml", "command.txt", "system.json", "metrics.jsonl", "checkpoint/latest.json", "practice.h5", "report.html"):
        assert (tmp_path / "out" / name).exists(), name
