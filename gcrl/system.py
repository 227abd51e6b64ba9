"""What a run ran on: versions, processor, memory, code revision; written beside its results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from gcrl.checkpoint import write_atomically

# fmt: off
PACKAGES = (
    "gcrl", "torch", "numpy", "pybullet", "gymnasium", "gymnasium-robotics", "mujoco", "scikit-learn", "hydra-core", "h5py", "safetensors",
    "tensorboard", "imageio", "matplotlib",
)
# fmt: on


def system() -> dict[str, Any]:
    """Return versions, processor, memory (GB) and code revision as plain JSON values."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "git_revision": git_revision(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def write_system(run_dir: str | Path) -> None:
    """Write ``system.json`` into a run folder."""
    write_atomically(Path(run_dir) / "system.json", json.dumps(system(), indent=1) + "\n")


def version(package: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Return the number of cores that this process may use (a container often has fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the processor's name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_revision() -> str | None:
    """Return the commit that the code is at, with ``+changes`` when tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        revision = _git(root, "rev-parse", "HEAD")
        return revision + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
