"""What a picture shows beside the bodies: light, ground and where the camera really stands; and how domain randomisation draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Triple = tuple[float, float, float]

# Ranges of the draws; the plain look is in the middle of those of light and camera.
LEAN = 2.0  # to either side, of the light's direction (1, 1, 3)
AMBIENT, DIFFUSE = (0.45, 0.85), (0.10, 0.70)  # shares of a surface's colour
GROUND = (0.55, 1.0)  # of each channel
SHIFT = 0.03  # of a camera's distance from what it looks at, to either side and for each axis of where it stands; half of it for its aim


@dataclass(frozen=True)
class Look:
    """One look. direction: toward the light. ambient, diffuse: strengths of light from everywhere and from there.

    ground: (r, g, b) in [0, 1] of all that no body covers, None for white. shift: (6,) in [-1, 1], how far a camera's stand and aim
    are off, in units of `SHIFT`.
    """

    direction: Triple = (1.0, 1.0, 3.0)
    ambient: float = 0.65
    diffuse: float = 0.4
    ground: Triple | None = None
    shift: tuple[float, ...] | None = None


PLAIN = Look()


def draw_light(generator: np.random.Generator) -> dict[str, object]:
    """Draw from where, and how strongly, the light falls; fields of `Look`."""
    x, y = (np.array(PLAIN.direction[:2]) + generator.uniform(-LEAN, LEAN, 2)).tolist()
    ambient, diffuse = float(generator.uniform(*AMBIENT)), float(generator.uniform(*DIFFUSE))
    return {"direction": (x, y, PLAIN.direction[2]), "ambient": ambient, "diffuse": diffuse}


def draw_ground(generator: np.random.Generator) -> dict[str, object]:
    """Draw the colour of what no body covers (with light visuals: the table); a field of `Look`."""
    red, green, blue = generator.uniform(*GROUND, 3).tolist()
    return {"ground": (red, green, blue)}


def draw_shift(generator: np.random.Generator) -> dict[str, object]:
    """Draw how far the camera is off; a field of `Look`."""
    return {"shift": tuple(generator.uniform(-1.0, 1.0, 6).tolist())}
