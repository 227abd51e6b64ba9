"""The arm: inverse kinematics, light visuals, and what its simulators leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.meshes import FACES, arm_urdf, cluster, decimate, light_meshes, prism, read_obj, shipped
from envs.robot import Robot, inverse_kinematics
from envs.sim import Simulation, sweep


@pytest.fixture(scope="module")
def robot() -> Robot:
    return Robot(Simulation(), (0.2, -0.4, 0.0), (0.7, 0.4, 0.5))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.30, 0.62), st.floats(-0.3, 0.3), st.floats(0.015, 0.45))
def test_inverse_kinematics_reaches_the_point(robot: Robot, x: float, y: float, z: float) -> None:
    robot.place((x, y, z))
    np.testing.assert_allclose(robot.hand(), (x, y, z), atol=1e-5)
    limits = np.array([2.8973, 1.7628, 2.8973, 3.0718, 2.8973, 3.7525, 2.8973])
    assert (np.abs(inverse_kinematics(x, y, z)) < limits).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 0.5))
def test_clustering_only_removes(sides: int, radius: float, height: float, cell: float) -> None:
    vertices, faces = prism(sides, radius, height)
    fewer, triangles = cluster(vertices, faces, cell)
    assert len(fewer) <= len(vertices)
    assert len(triangles) <= len(faces)
    assert {tuple(vertex) for vertex in fewer} <= {tuple(vertex) for vertex in vertices}
    assert all(len(set(triangle)) == 3 for triangle in triangles.tolist())


def test_light_arm_keeps_its_shape_within_its_budget() -> None:
    total = 0
    for name, budget in FACES.items():
        whole, _ = read_obj(shipped() / f"meshes/collision/{name}.obj")
        light, faces = read_obj(light_meshes() / f"{name}.obj")
        assert 0 < len(faces) <= budget
        np.testing.assert_allclose(np.ptp(light, axis=0), np.ptp(whole, axis=0), rtol=0.25)
        total += len(faces)
    assert total <= 600
    shape = read_obj(shipped() / "meshes/collision/link5.obj")
    assert len(decimate(*shape, 20)[1]) <= 20 < len(decimate(*shape, 200)[1])


def test_meshes_go_elsewhere_where_the_cache_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    assert light_meshes().is_relative_to(tmp_path / "elsewhere")
    assert str(tmp_path / "elsewhere") in arm_urdf()


def test_full_visuals_draw_the_shipped_meshes() -> None:
    full = arm_urdf("full")
    assert "meshes/visual/link5.obj" in full
    assert "meshes/visual" not in arm_urdf("light")


def test_folders_that_killed_processes_left_are_removed_a_day_later(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folders = {name: tmp_path / f"gcrl-sim-{name}" for name in (f"{dead}-old", f"{os.getpid()}-old", f"{dead}-new", "nameless")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "start.bullet").write_bytes(b"world")
        if not folder.name.endswith("new"):
            os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert {name for name, folder in folders.items() if folder.exists()} == {f"{os.getpid()}-old", f"{dead}-new", "nameless"}
