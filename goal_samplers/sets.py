"""Goals given by example: files of goals, each a set of instances of one task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals
from goal_samplers.mixture import joined


class ExampleSets:
    """Practises tasks that are given by sets of examples, each task equally often.

    files: of ``gcrl goals``, one a task; the examples are their split `split`. Where goals are distributions (goal_space=gaussian), a goal
    is what all examples of a set share, as in DisCo RL (Nasiriany et al. 2021), and has no achieved goal; where they are latents, it is
    one of the examples, drawn at random: the goal-conditioned control. Raises `UserError` without a file.
    """

    def __init__(self, files: Sequence[str], split: str = "train") -> None:
        if not files:
            raise UserError("ExampleSets: files = []; expected at least one file of `gcrl goals`: goal_sampler.files=[left.h5,right.h5]")
        self._files, self._split = tuple(files), split
        self.example_files = tuple((file, split) for file in self._files)

    def sample(self, context: GoalContext, n: int) -> Goals:
        """Return `n` goals without source rows; pictures are those of examples. Raises `UserError` where the context offers no files."""
        counts = context.generator.multinomial(n, np.full(len(self._files), 1 / len(self._files)))
        parts = [self._goals(context, file, int(count)) for file, count in zip(self._files, counts) if count]
        return joined(context, parts, context.generator.permutation(n))

    def _goals(self, context: GoalContext, file: str, n: int) -> Goals:
        """Return `n` goals of one set."""
        if context.examples is None:
            raise UserError("ExampleSets reads files of goals, which are not offered here; expected another sampler, e.g. Uniform")
        examples = context.examples(file, self._split)
        chosen = context.generator.integers(len(examples), size=n)
        images = None if examples.images is None else examples.images[chosen]
        achieved = None if examples.achieved is None else examples.achieved[chosen]
        of_set = getattr(context.goal_space, "of_set", None)
        if of_set is None:
            return Goals(examples.params[chosen], np.full(n, -1), images, achieved)
        params = np.repeat(of_set(examples.params)[None], n, axis=0)
        return Goals(params, np.full(n, -1), images, None if achieved is None else np.full_like(achieved, np.nan))
