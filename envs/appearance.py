"""What an episode looks like beyond its task: distractors, and domain randomisation of colours, light and camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from envs.distractors import Distractors
from envs.errors import UserError, unknown
from envs.looks import PLAIN, Look, draw_ground, draw_light, draw_shift
from envs.palette import Palette
from envs.scene import Scene

DRAWS: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {"colours": draw_ground, "light": draw_light, "camera": draw_shift}


class Appearance:
    """The look of one scene's episodes.

    n: distractors. randomise: what each episode draws anew, of "colours", "light" and "camera".

    Each draws from a stream of its own far ahead of the episode's generator, which is left as it is: starts, goals and whatever else
    is drawn are the same with any of them and without. Raises `UserError` for names that there are not.
    """

    def __init__(self, scene: Scene, n: int, randomise: Any) -> None:
        self.randomise = _checked(randomise)
        self._palette = Palette(scene) if "colours" in self.randomise else None
        self.distractors = Distractors(scene, n)
        self.look = PLAIN
        shown = [f"distractors={n}"] if n else []
        self._options = " ".join(shown + ([f"randomise=[{','.join(self.randomise)}]"] if self.randomise else []))
        self._streams: list[np.random.Generator] = []

    def begin(self, generator: np.random.Generator) -> None:
        """Take over where an episode's randomness begins; the scene is then laid out, and `show` called."""
        if not self._options:
            return
        # A jump of about 2^127 draws each.
        self._streams = [np.random.Generator(generator.bit_generator.jumped(jump)) for jump in range(1, len(DRAWS) + 3)]  # type: ignore[attr-defined]
        if self._palette is not None:
            self._palette.restore()

    def show(self) -> None:
        """Draw the episode's appearance."""
        if not self._options:
            return
        self.distractors.draw(self._streams[0])
        drawn: dict[str, Any] = {}
        for name, stream in zip(DRAWS, self._streams[1:]):
            if name in self.randomise:
                drawn |= DRAWS[name](stream)
        self.look = Look(**drawn)
        if self._palette is not None:
            self._palette.vary(self._streams[-1])

    def advance(self) -> None:
        """Go on for one control step."""
        self.distractors.advance()

    def memory(self) -> dict[str, Any]:
        """Return all that makes the present appearance, as what JSON can hold; nothing where nothing is drawn."""
        memory: dict[str, Any] = {}
        if self.distractors.bodies:
            memory["distractors"] = {"paths": self.distractors.paths, "clock": self.distractors.clock}
        if self.randomise:
            memory["look"] = asdict(self.look)
        if self._palette is not None:
            memory["colours"] = self._palette.colours
        return {"options": self._options, **memory} if memory else memory

    def check(self, memory: dict[str, Any]) -> None:
        """Raise `UserError` unless `memory` is of an environment with the same options."""
        if memory.get("options", "") != self._options:
            found, expected = (options or "neither distractors nor randomise" for options in (memory.get("options", ""), self._options))
            raise UserError(f"the state belongs to an environment with {found}; expected one with {expected}")

    def recall(self, memory: dict[str, Any]) -> None:
        """Take over what `memory` returned; the scene has taken over its own before."""
        if "distractors" in memory:
            self.distractors.put(**memory["distractors"])
        if "look" in memory:
            fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in memory["look"].items()}
            self.look = Look(**fields)
        if self._palette is not None:
            self._palette.paint(memory["colours"])


def _checked(randomise: Any) -> tuple[str, ...]:
    if isinstance(randomise, str) or not hasattr(randomise, "__iter__"):
        raise UserError(f"randomise={randomise!r}; expected a list of: {', '.join(DRAWS)}, such as [colours,light]")
    names = [str(name) for name in randomise]
    for name in names:
        if name not in DRAWS:
            raise unknown("randomise", name, DRAWS)
    return tuple(name for name in DRAWS if name in names)
