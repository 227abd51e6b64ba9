"""The second world of a task, in which goals are tried and drawn while the episode's own world stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.api import Floats, GoalSet, Images
from envs.camera import Camera, Renderer
from envs.distractors import Distractors
from envs.errors import NoGoal, UserError
from envs.scene import Scene

TOUCH = 5e-4  # m of overlap below which a proposed goal counts as free of penetration

MAX_TRIES = 1000  # proposals per goal after which something must be wrong with the task


class Ghost:
    """A scene of the task's for goal states (m,), which are configurations without velocities.

    distractors: how many of them pictures show, each where the goal state says.
    """

    def __init__(self, scene: Scene, camera: Camera, distractors: int = 0) -> None:
        self.scene, self._camera = scene, camera
        self._renderer: Renderer | None = None
        self._distractors = Distractors(scene, distractors)
        scene.simulation.keep_start()

    def sample(self, n: int, propose: Callable[[], Floats]) -> GoalSet:
        """Return `n` of the goal states that `propose` draws: those without penetration. Raises `NoGoal` where hardly any are."""
        states: list[Floats] = []
        achieved: list[list[float]] = []
        tried = 0
        while len(states) < n:
            tried += 1
            if tried > MAX_TRIES * n:
                raise NoGoal(f"{len(states)} of {tried - 1} proposed goals are free of penetration; expected most of them")
            state = propose()
            self.scene.simulation.restore_start()
            self.scene.place(state)
            if self.scene.simulation.penetration() <= TOUCH:
                states.append(state)
                achieved.append(self.scene.measure()[1])
        return GoalSet(np.array(states).reshape(n, -1), np.array(achieved, np.float32).reshape(n, -1))

    def render(self, state: Floats, size: int) -> Images:
        """Return the (size, size, 3) picture of a goal state. Raises `UserError` for one of the wrong shape."""
        expected = len(self.scene.state())
        if np.shape(state) != (expected,):
            raise UserError(f"goal state has shape {np.shape(state)}; expected ({expected},): 7 joint angles, then {self.scene.rest}")
        self.scene.place(state)
        self._distractors.scatter(state)
        if self._renderer is None:
            self._renderer = Renderer(self.scene.robot, self._camera)
        return self._renderer.render(size)
