"""OGBench's medium maze and the point in it: cells, shortest paths and one step of its dynamics (Park et al. 2024, "OGBench").

The point is a ball whose centre is moved by 0.2 times the action; MuJoCo then simulates 0.1 s in which walls push it back. Cells are
(row, column), 4 units wide; cell (1, 1) is centred on the origin, columns go along x, rows along y.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.api import Floats

Cell = tuple[int, int]

_MAP = """
########
#..##..#
#..#...#
##...###
#..#...#
#.#..#.#
#...#..#
########
"""
WALLS: NDArray[np.bool_] = np.array([[letter == "#" for letter in row] for row in _MAP.split()])
TASKS: tuple[tuple[Cell, Cell], ...] = (  # of OGBench's evaluation: start and goal
    ((1, 1), (6, 6)),
    ((6, 1), (1, 6)),
    ((5, 3), (4, 2)),
    ((6, 5), (6, 1)),
    ((2, 6), (1, 1)),
)
UNIT = 4.0  # units along a cell's side
RADIUS = 0.7  # of the ball, units
STEP = 0.2  # units that an action of 1 moves the centre
SUBSTEPS = 5  # of MuJoCo's 0.02 s, in which walls push back
LOW, HIGH = -UNIT / 2, UNIT * (len(WALLS) - 2) - UNIT / 2  # of the area within the outer walls, both axes

CELLS: tuple[Cell, ...] = tuple((int(row), int(column)) for row, column in np.argwhere(~WALLS))
_NEXT_TO = ((-1, 0), (0, -1), (1, 0), (0, 1))
_ROOM = UNIT / 2 - RADIUS  # how far from its cell's centre the ball is clear of neighbours


def centre(cell: Cell) -> Floats:
    """Return the position (2,) of a cell's centre."""
    return np.array([(cell[1] - 1) * UNIT, (cell[0] - 1) * UNIT])


def cell_of(position: Floats) -> Cell:
    """Return the cell that a position (2,) within the outer walls lies in."""
    return int((position[1] + 1.5 * UNIT) // UNIT), int((position[0] + 1.5 * UNIT) // UNIT)


def is_free(position: Floats) -> bool:
    """Return whether a position (2,) lies in a cell without a wall."""
    return bool(np.all((position >= LOW) & (position <= HIGH))) and not WALLS[cell_of(np.minimum(position, HIGH - 1e-6))]


def crossings() -> tuple[Cell, ...]:
    """Return the cells that are no straight passage: corners, forks and dead ends, where OGBench's data has its goals."""
    return tuple(cell for cell in CELLS if _ways(cell) not in ([0, 2], [1, 3]))


def _ways(cell: Cell) -> list[int]:
    return [index for index, (down, right) in enumerate(_NEXT_TO) if not WALLS[cell[0] + down, cell[1] + right]]


@functools.cache
def steps_to(goal: Cell) -> dict[Cell, int]:
    """Return how many cells lie between each free cell and `goal`."""
    found, queue = {goal: 0}, deque([goal])
    while queue:
        cell = queue.popleft()
        for way in _ways(cell):
            neighbour = cell[0] + _NEXT_TO[way][0], cell[1] + _NEXT_TO[way][1]
            if neighbour not in found:
                found[neighbour] = found[cell] + 1
                queue.append(neighbour)
    return found


@functools.cache
def next_cell(cell: Cell, goal: Cell) -> Cell:
    """Return the neighbour of `cell` that is nearest to `goal`; the goal itself where it is reached."""
    steps = steps_to(goal)
    neighbours = [(cell[0] + _NEXT_TO[way][0], cell[1] + _NEXT_TO[way][1]) for way in _ways(cell)]
    return min([cell, *neighbours], key=lambda choice: steps[choice])


@functools.cache
def _model() -> Any:
    """Return the MuJoCo model; what contacts depend on is OGBench's: the time step, the integrator, the floor and a ball of that mass."""
    boxes = [
        f'<geom type="box" size="{UNIT / 2} {UNIT / 2} 1" pos="{centre((row, column))[0]} {centre((row, column))[1]} 1" conaffinity="1"/>'
        for row, column in np.argwhere(WALLS)
    ]
    return mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <option timestep="0.02" integrator="RK4"/>
      <default><geom condim="3" conaffinity="0" friction="1 0.5 0.5" density="100"/></default>
      <worldbody>
        <geom type="plane" size="50 50 0.2" conaffinity="1"/>
        {"".join(boxes)}
        <body>
          <geom type="sphere" size="{RADIUS}" pos="0 0 {RADIUS}"/>
          <joint type="slide" axis="1 0 0"/>
          <joint type="slide" axis="0 1 0"/>
        </body>
      </worldbody>
    </mujoco>""")


class Ball:
    """Steps the point. Nothing is remembered from step to step: where it goes is a function of where it is and of the action."""

    def __init__(self) -> None:
        self._model = _model()
        self._data: Any = mujoco.MjData(self._model)

    def move(self, position: Floats, action: Floats) -> Floats:
        """Return the position (2,) float64 after an action (2,) in [-1, 1]."""
        moved = position + STEP * action
        if not _near_wall(moved):  # nothing acts on a ball at rest that touches no wall: the simulation would leave it there
            return np.asarray(moved, np.float64)
        mujoco.mj_resetData(self._model, self._data)  # the solver's warm start would carry over from other episodes
        self._data.qpos[:] = moved
        mujoco.mj_step(self._model, self._data, nstep=SUBSTEPS)
        return np.array(self._data.qpos, np.float64)


def _near_wall(position: Floats) -> bool:
    row, column = cell_of(position)
    right, down = position - centre((row, column))
    beside = column + (1 if right > _ROOM else -1 if right < -_ROOM else 0)
    below = row + (1 if down > _ROOM else -1 if down < -_ROOM else 0)
    return bool(WALLS[row, beside] or WALLS[below, column] or WALLS[below, beside])
