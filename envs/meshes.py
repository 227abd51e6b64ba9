"""The Franka arm's model, made at run time from what pybullet ships: hulls decimated by vertex clustering, closed gripper welded on."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pybullet_data
from numpy.typing import NDArray

from envs.errors import unknown

Vertices = NDArray[np.float64]  # (v, 3) metres
Faces = NDArray[np.int64]  # (f, 3) vertex indices

# Most faces kept per mesh: an arm of about 450 triangles still reads as an arm at 48 pixels and costs 0.1 ms a picture or less.
FACES = {"link0": 40, "link1": 60, "link2": 60, "link3": 70, "link4": 70, "link5": 70, "link6": 70, "link7": 50, "hand": 60, "finger": 32}
WHITE, GREY, DARK = "0.93 0.94 0.96 1", "0.74 0.77 0.82 1", "0.36 0.39 0.46 1"
COLOURS = {"link0": GREY, "link1": WHITE, "link2": GREY, "link3": WHITE, "link4": GREY, "link5": WHITE, "link6": GREY, "link7": WHITE}
VISUALS = ("light", "full")
# The shipped model's weld chain (joint8, hand_joint, finger_joint1/2 at zero): link7 frame -> mesh frame.
TAIL = {
    "link7": ((0.0, 0.0, 0.0), 0.0),
    "hand": ((0.0, 0.0, 0.107), -np.pi / 4),
    "finger": ((0.0, 0.0, 0.1654), -np.pi / 4),
    "finger_mirrored": ((0.0, 0.0, 0.1654), -np.pi / 4 + np.pi),
}
TAIL_MASS = 1.21  # kg: link7, hand and two fingers
TIP_OFFSET = 0.212  # m from link7's frame along its z to the middle of the closed fingertips, 5 mm above their end


def shipped() -> Path:
    """Return the folder of pybullet's Franka model."""
    return Path(pybullet_data.getDataPath()) / "franka_panda"


def read_obj(path: Path) -> tuple[Vertices, Faces]:
    """Read the vertices (v, 3) and triangles (f, 3) of an OBJ file; polygons become fans."""
    vertices: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            faces += [(corners[0], second, third) for second, third in itertools.pairwise(corners[1:])]
    return np.array(vertices), np.array(faces, dtype=np.int64).reshape(-1, 3)


def cluster(vertices: Vertices, faces: Faces, cell: float) -> tuple[Vertices, Faces]:
    """Merge all vertices that share a cubic cell of side `cell` (m) into the outermost of them and drop collapsed or doubled triangles.

    Taking the outermost keeps the silhouette, where a mean would shrink the part. Source: Rossignac and Borrel 1993,
    "Multi-resolution 3D approximations for rendering complex scenes", section 3.
    """
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    outward = np.argsort(-np.linalg.norm(vertices - centre, axis=1), kind="stable")
    _, first_outward, member = np.unique(
        np.floor(vertices[outward] / cell).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    merged = vertices[outward][first_outward]
    cell_of = np.empty(len(vertices), dtype=np.int64)
    cell_of[outward] = member.reshape(-1)
    triangles = cell_of[faces]
    distinct = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2]) & (triangles[:, 0] != triangles[:, 2])
    triangles = triangles[distinct]
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return merged, triangles[np.sort(first)]


def decimate(vertices: Vertices, faces: Faces, budget: int) -> tuple[Vertices, Faces]:
    """Return the finest clustering of a mesh that has at most `budget` triangles."""
    extent = float(np.ptp(vertices, axis=0).max())
    best = cluster(vertices, faces, extent / 256)
    for divisions in range(128, 1, -1):
        if len(best[1]) <= budget:
            break
        best = cluster(vertices, faces, extent / divisions * 1.001)
    return best


def light_meshes() -> Path:
    """Return the folder of decimated meshes, making it on first use (user cache; a temporary folder where that is not writable)."""
    recipe = repr(("outermost", sorted(FACES.items()), [(shipped() / f"meshes/collision/{name}.obj").stat().st_size for name in FACES]))
    name = "panda-" + hashlib.sha256(recipe.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (cache / "gcrl" / name, Path(tempfile.gettempdir()) / f"gcrl-{os.getuid()}" / name):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for mesh, budget in FACES.items():
                if not (folder / f"{mesh}.obj").exists():
                    write_obj(folder / f"{mesh}.obj", *decimate(*read_obj(shipped() / f"meshes/collision/{mesh}.obj"), budget))
            return folder
        except OSError:
            continue
    raise OSError(
        f"no writable folder for the arm's meshes: tried {cache} and {tempfile.gettempdir()}; set XDG_CACHE_HOME to a writable folder"
    )


def prism(sides: int, radius: float, height: float) -> tuple[Vertices, Faces]:
    """Return an upright prism about the origin (m): pybullet's own cylinder is drawn with its edges rounded off."""
    angles = 2 * np.pi * np.arange(sides) / sides
    return extruded(np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1), height)


def extruded(outline: Vertices, height: float) -> tuple[Vertices, Faces]:
    """Return the upright body over a convex outline (k, 2) m, counter-clockwise, without its underside."""
    sides = len(outline)
    rings = [np.concatenate([outline, np.full((sides, 1), end)], axis=1) for end in (-height / 2, height / 2)]
    here = np.arange(sides)
    there = (here + 1) % sides
    walls = [np.stack([here, there, there + sides], axis=1), np.stack([here, there + sides, here + sides], axis=1)]
    middle = np.arange(1, sides - 1)
    lid = np.stack([np.full(sides - 2, sides), middle + sides, middle + 1 + sides], axis=1)
    return np.concatenate(rings), np.concatenate([*walls, lid])


def write_obj(path: Path, vertices: Vertices, faces: Faces) -> None:
    """Write an OBJ file so that other processes see it whole or not at all."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in faces + 1]
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(partial, path)


def arm_urdf(visuals: str = "light") -> str:
    """Return a URDF of the arm with the closed gripper welded to its last link: seven joints, shipped collision hulls.

    visuals: ``"light"`` (about 600 triangles in all) or ``"full"`` (the shipped meshes). Raises `UserError` for another name.
    """
    return ElementTree.tostring(arm_model(visuals, tuple(TAIL)), encoding="unicode")


def arm_model(visuals: str, tail: tuple[str, ...]) -> ElementTree.Element:
    """Return the arm's URDF with the parts `tail` of `TAIL` welded to its last link. Raises `UserError` for unknown `visuals`."""
    if visuals not in VISUALS:
        raise unknown("visuals", visuals, VISUALS)
    robot = ElementTree.parse(shipped() / "panda.urdf").getroot()
    keep = {f"panda_link{index}" for index in range(8)}
    for element in list(robot):
        child = element.find("child")
        owner = element.get("name") if element.tag == "link" else child.get("link") if child is not None else None
        if owner not in keep:
            robot.remove(element)
    for link in robot.iter("link"):
        mesh = str(link.get("name")).removeprefix("panda_")
        for shape in link.findall("visual") + link.findall("collision"):
            link.remove(shape)
        parts = {part: TAIL[part] for part in tail} if mesh == "link7" else {mesh: ((0.0, 0.0, 0.0), 0.0)}
        for part, (offset, yaw) in parts.items():
            file = part.removesuffix("_mirrored")
            add_shape(link, "visual", visual_path(file, visuals), offset, yaw, COLOURS.get(file, DARK))
            add_shape(link, "collision", shipped() / f"meshes/collision/{file}.obj", offset, yaw)
        mass = link.find("inertial/mass")
        if mesh == "link7" and mass is not None:
            mass.set("value", str(TAIL_MASS))
    return robot


def visual_path(mesh: str, visuals: str) -> Path:
    """Return the file that draws `mesh`; the shipped model draws its base and last link with their hulls."""
    if visuals == "light":
        return light_meshes() / f"{mesh}.obj"
    full = shipped() / f"meshes/visual/{mesh}.obj"
    return full if full.exists() else shipped() / f"meshes/collision/{mesh}.obj"


def add_shape(link: ElementTree.Element, kind: str, mesh: Path, offset: Any, yaw: float, colour: str = "") -> None:
    """Append a ``visual`` or ``collision`` element with a mesh at `offset` (m) turned by `yaw` (rad) about the link's z."""
    shape = ElementTree.SubElement(link, kind)
    ElementTree.SubElement(shape, "origin", xyz=" ".join(f"{value:.6f}" for value in offset), rpy=f"0 0 {yaw:.9f}")
    ElementTree.SubElement(ElementTree.SubElement(shape, "geometry"), "mesh", filename=str(mesh))
    if colour:
        material = ElementTree.SubElement(shape, "material", name=f"{mesh.stem}_{len(link)}")
        ElementTree.SubElement(material, "color", rgba=colour)
