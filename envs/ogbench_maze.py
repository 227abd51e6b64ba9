"""OGBench's mazes and the point in them: cells, shortest paths and one step of its dynamics (Park et al. 2024, "OGBench").

The point is a ball whose centre is moved by 0.2 times the action; MuJoCo then simulates 0.1 s in which walls push it back. Cells are
(row, column), 4 units wide; cell (1, 1) is centred on the origin, columns go along x, rows along y.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.api import Floats

Cell = tuple[int, int]
Task = tuple[Cell, Cell]

UNIT = 4.0  # units along a cell's side
RADIUS = 0.7  # of the ball, units
STEP = 0.2  # units that an action of 1 moves the centre
SUBSTEPS = 5  # of MuJoCo's 0.02 s, in which walls push back

_NEXT_TO = ((-1, 0), (0, -1), (1, 0), (0, 1))
_ROOM = UNIT / 2 - RADIUS  # how far from its cell's centre the ball is clear of neighbours


def centre(cell: Cell) -> Floats:
    """Return the position (2,) of a cell's centre."""
    return np.array([(cell[1] - 1) * UNIT, (cell[0] - 1) * UNIT])


def cell_of(position: Floats) -> Cell:
    """Return the cell that a position (2,) within the outer walls lies in."""
    return int((position[1] + 1.5 * UNIT) // UNIT), int((position[0] + 1.5 * UNIT) // UNIT)


class Maze:
    """A map of walls ("#") and free cells, and OGBench's evaluation tasks in it: (start, goal) each.

    walls: (rows, columns). cells: the free ones. low, high: (2,) bounds of the area within the outer walls, x and y, in units.
    """

    def __init__(self, name: str, drawn: str, tasks: Sequence[Task]) -> None:
        self.name, self.tasks = name, tuple(tasks)
        self.walls: NDArray[np.bool_] = np.array([[letter == "#" for letter in row] for row in drawn.split()])
        self.cells: tuple[Cell, ...] = tuple((int(row), int(column)) for row, column in np.argwhere(~self.walls))
        rows, columns = self.walls.shape
        self.low = np.full(2, -UNIT / 2)
        self.high = UNIT * (np.array([columns, rows]) - 2) - UNIT / 2
        self._steps: dict[Cell, dict[Cell, int]] = {}
        self._next: dict[Task, Cell] = {}

    def is_free(self, position: Floats) -> bool:
        """Return whether a position (2,) lies in a cell without a wall."""
        inside = bool(np.all((position >= self.low) & (position <= self.high)))
        return inside and not self.walls[cell_of(np.minimum(position, self.high - 1e-6))]

    def crossings(self) -> tuple[Cell, ...]:
        """Return the cells that are no straight passage: corners, forks and dead ends, where OGBench's data has its goals."""
        return tuple(cell for cell in self.cells if self._ways(cell) not in ([0, 2], [1, 3]))

    def steps_to(self, goal: Cell) -> dict[Cell, int]:
        """Return how many cells lie between each free cell and `goal`."""
        if goal not in self._steps:
            found, queue = {goal: 0}, deque([goal])
            while queue:
                cell = queue.popleft()
                for neighbour in self._neighbours(cell):
                    if neighbour not in found:
                        found[neighbour] = found[cell] + 1
                        queue.append(neighbour)
            self._steps[goal] = found
        return self._steps[goal]

    def next_cell(self, cell: Cell, goal: Cell) -> Cell:
        """Return the neighbour of `cell` that is nearest to `goal`; the goal itself where it is reached."""
        if (cell, goal) not in self._next:
            steps = self.steps_to(goal)
            self._next[cell, goal] = min([cell, *self._neighbours(cell)], key=lambda choice: steps[choice])
        return self._next[cell, goal]

    def _ways(self, cell: Cell) -> list[int]:
        return [index for index, (down, right) in enumerate(_NEXT_TO) if not self.walls[cell[0] + down, cell[1] + right]]

    def _neighbours(self, cell: Cell) -> list[Cell]:
        return [(cell[0] + _NEXT_TO[way][0], cell[1] + _NEXT_TO[way][1]) for way in self._ways(cell)]

    def near_wall(self, position: Floats) -> bool:
        """Return whether a ball at `position` (2,) might touch a wall."""
        row, column = cell_of(position)
        right, down = position - centre((row, column))
        beside = column + (1 if right > _ROOM else -1 if right < -_ROOM else 0)
        below = row + (1 if down > _ROOM else -1 if down < -_ROOM else 0)
        return bool(self.walls[row, beside] or self.walls[below, column] or self.walls[below, beside])


MEDIUM = Maze(
    "medium",
    """
    ########
    #..##..#
    #..#...#
    ##...###
    #..#...#
    #.#..#.#
    #...#..#
    ########
    """,
    [((1, 1), (6, 6)), ((6, 1), (1, 6)), ((5, 3), (4, 2)), ((6, 5), (6, 1)), ((2, 6), (1, 1))],
)
LARGE = Maze(
    "large",
    """
    ############
    #....#.....#
    #.##.#.#.#.#
    #......#...#
    #.####.###.#
    #..#.#.....#
    ##.#.#.#.###
    #..#...#...#
    ############
    """,
    [((1, 1), (7, 10)), ((5, 4), (7, 1)), ((7, 4), (1, 10)), ((3, 8), (5, 4)), ((1, 1), (5, 4))],
)
MAZES = {maze.name: maze for maze in (MEDIUM, LARGE)}


class Ball:
    """Steps the point in a maze. Nothing is remembered from step to step: where it goes is a function of where it is and of the action."""

    def __init__(self, maze: Maze) -> None:
        self._maze = maze
        self._model = _model(maze)
        self._data: Any = mujoco.MjData(self._model)

    def move(self, position: Floats, action: Floats) -> Floats:
        """Return the position (2,) float64 after an action (2,) in [-1, 1]."""
        moved = position + STEP * action
        if not self._maze.near_wall(moved):  # nothing acts on a ball at rest that touches no wall: the simulation would leave it there
            return np.asarray(moved, np.float64)
        mujoco.mj_resetData(self._model, self._data)  # the solver's warm start would carry over from other episodes
        self._data.qpos[:] = moved
        mujoco.mj_step(self._model, self._data, nstep=SUBSTEPS)
        return np.array(self._data.qpos, np.float64)


def _model(maze: Maze) -> Any:
    """Return the MuJoCo model; what contacts depend on is OGBench's: the time step, the integrator, the floor and a ball of that mass."""
    boxes = [
        f'<geom type="box" size="{UNIT / 2} {UNIT / 2} 1" pos="{centre((row, column))[0]} {centre((row, column))[1]} 1" conaffinity="1"/>'
        for row, column in np.argwhere(maze.walls)
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
