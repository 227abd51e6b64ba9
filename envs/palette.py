"""The colours of a scene's bodies, and how domain randomisation changes them."""

from __future__ import annotations

import numpy as np

from envs.quiet import bullet
from envs.scene import Scene

Colour = list[float]  # r, g, b in [0, 1]
# Share of a drawn colour in what a body is painted with. With a fifth the named colours of `envs.bodies` stay apart, so a goal that
# names a colour still does; what is drawn on the table means nothing.
BODIES, TABLE = 0.2, 0.75


class Palette:
    """All that is drawn in a scene but the arm: ``colours`` (shapes, 3) are what the shapes are painted with now."""

    def __init__(self, scene: Scene) -> None:
        self._client = scene.simulation.client
        count = bullet.getNumBodies(physicsClientId=self._client)
        bodies = [bullet.getBodyUniqueId(index, physicsClientId=self._client) for index in range(count)]
        self._bodies = [body for body in bodies if body != scene.robot.body]
        self._table = set(scene.table)
        self._shapes: list[tuple[int, int, int, float]] = []  # body, link, number in the link, opacity
        for body in self._bodies:
            links = [(shape[1], shape[7][3]) for shape in bullet.getVisualShapeData(body, physicsClientId=self._client)]
            for index, (link, opacity) in enumerate(links):
                self._shapes.append((body, link, [other for other, _ in links[:index]].count(link), opacity))
        self._own = self._reported()
        self.colours = self._own
        self._before = self._own

    def restore(self) -> None:
        """Give every shape the colour it was made with; the scene may then paint some anew."""
        self.paint(self._own)
        self._before = self._reported()

    def vary(self, generator: np.random.Generator) -> None:
        """Paint every shape with a colour drawn about its own, or about the one that the scene gave it after `restore`."""
        drawn, table = generator.random((len(self._shapes), 3)), generator.random(3)
        colours = []
        # pybullet reports one colour for all the shapes of a link once one is painted; what was not painted anew keeps its own.
        for shape, own, before, now, other in zip(self._shapes, self._own, self._before, self._reported(), drawn):
            share, tint = (TABLE, table) if shape[0] in self._table else (BODIES, other)
            colours.append(((1 - share) * np.array(own if now == before else now) + share * tint).tolist())
        self.paint(colours)

    def paint(self, colours: list[Colour]) -> None:
        """Paint every shape with its colour of `colours` (shapes, 3)."""
        self.colours = colours
        for (body, link, index, opacity), colour in zip(self._shapes, colours, strict=True):
            bullet.changeVisualShape(body, link, shapeIndex=index, rgbaColor=[*colour, opacity], physicsClientId=self._client)

    def _reported(self) -> list[Colour]:
        return [list(shape[7][:3]) for body in self._bodies for shape in bullet.getVisualShapeData(body, physicsClientId=self._client)]
