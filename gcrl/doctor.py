"""`gcrl doctor`: is everything here that a run needs, and what to do where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from gcrl.system import PACKAGES, git_revision, processor, usable_cores, version

MINIMUM_DISK_GB = 5.0
MINIMUM_MEMORY_GB = 3.0


@dataclass
class Finding:
    """One thing looked at: `state` is ok, note (works, with a limit) or bad (runs will fail); `advice` says what to do."""

    name: str
    state: Literal["ok", "note", "bad"]
    detail: str
    advice: str = ""


def examine() -> list[Finding]:
    """Return all findings; nothing is changed."""
    checks: list[Callable[[], Iterator[Finding]]] = [_python, _packages, _hardware, _disk, _torch, _mujoco_gl, _environments]
    return [finding for check in checks for finding in check()]


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings as plain JSON values, with ``ok`` false when any is bad."""
    return {"ok": all(finding.state != "bad" for finding in findings), "findings": [asdict(finding) for finding in findings]}


def as_text(findings: list[Finding]) -> str:
    """Return the findings as a table, advice under what needs it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:4}  {finding.name:{width}}  {finding.detail}")
        if finding.advice:
            lines.append(f"      {'':{width}}  → {finding.advice}")
    bad = sum(finding.state == "bad" for finding in findings)
    lines.append(f"{bad} of {len(findings)} need attention." if bad else "Everything that a run needs is here.")
    return "\n".join(lines)


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if good else "bad", sys.version.split()[0], "" if good else "install Python 3.11 or newer")
    yield Finding("gcrl", "ok", f"{version('gcrl')} at {Path(__file__).resolve().parent}, revision {git_revision() or 'unknown'}")


def _packages() -> Iterator[Finding]:
    missing = [name for name in PACKAGES if version(name) is None]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if version(name))
    yield Finding("packages", "bad" if missing else "ok", versions, f"pip install {' '.join(missing)}" if missing else "")
    mujoco = version("mujoco")
    if mujoco and tuple(int(part) for part in mujoco.split(".")[:2]) >= (3, 4):
        yield Finding(
            "mujoco", "bad", mujoco, 'the Fetch environments need an older one: pip install "mujoco>=3.3,<3.4" (in a fresh environment)'
        )


def _hardware() -> Iterator[Finding]:
    cores, memory = usable_cores(), psutil.virtual_memory()
    yield Finding("cores", "ok" if cores > 1 else "note", f"{cores} × {processor()}", "" if cores > 1 else "practice is slower on one core")
    enough = memory.available / 1e9 >= MINIMUM_MEMORY_GB
    detail = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    yield Finding("memory", "ok" if enough else "note", detail, "" if enough else "close programs, or lower practice.capacity")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    good = free >= MINIMUM_DISK_GB
    yield Finding(
        "disk", "ok" if good else "note", f"{free:.1f} GB free in {os.getcwd()}", "" if good else "free some, or set run_dir= elsewhere"
    )
    writable = os.access(os.getcwd(), os.W_OK)
    if not writable:
        yield Finding("folder", "bad", f"{os.getcwd()} is not writable", "run from a folder of yours, or set run_dir=")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", "bad", _one_line(error), "pip install torch -c constraints.txt")
        return
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU (none is needed)"
    yield Finding("torch", "ok", f"{torch.__version__}, {gpu}, {torch.get_num_threads()} threads by default, runs use torch_threads=1")


def _mujoco_gl() -> Iterator[Finding]:
    """Try MuJoCo's renderers, each in a process of its own: a broken driver may take the process down."""
    code = "import mujoco; context = mujoco.GLContext(8, 8); context.make_current(); context.free()"
    chosen = os.environ.get("MUJOCO_GL")
    working = []
    for backend in [chosen] if chosen else ["egl", "osmesa"]:
        try:
            done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MUJOCO_GL": backend}, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            working.append(backend)
    if working:
        yield Finding("OpenGL", "ok", f"MuJoCo draws through {', '.join(working)}")
    else:
        advice = "needed only for images from MuJoCo tasks: install libegl1 or libosmesa6 and set MUJOCO_GL=egl or osmesa"
        yield Finding("OpenGL", "note", "MuJoCo cannot draw; gcrl's own tasks draw without it", advice)


def _environments() -> Iterator[Finding]:
    """Construct every environment that the configuration names, reset it and take a step."""
    import envs
    from gcrl.config import load_settings
    from gcrl.overrides import choices, registered

    for choice in [name for name in choices("env") if name not in registered("env")]:
        settings = load_settings([f"env={choice}"])
        try:
            env = envs.make(settings.env_id, **settings.env_arguments)
            env.reset(seed=0)
            env.action_space.seed(0)
            env.step(env.action_space.sample())
            env.close()
        except Exception as error:  # whatever it is, it is what the person needs to read
            yield Finding(
                choice,
                "bad",
                _one_line(error),
                f"mend it, or do without env={choice}; the right versions: pip install -c constraints.txt gcrl",
            )
        else:
            yield Finding(choice, "ok", f"{settings.env_id} resets and steps{', with images' if env.capabilities.images else ''}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
