"""``gcrl new KIND NAME``: a module of one's own and its test to start from, written into the current folder."""

from __future__ import annotations

import keyword
from pathlib import Path

from envs.errors import UserError, unknown

SAMPLER = '''"""A goal sampler: say here what it proposes, and why."""

import numpy as np

from goal_samplers.experience import require_frames


class CLASS:
    """Proposes what lies farthest from the mean of what was seen. (Put your own idea here.)

    candidates: stored frames among which goals are chosen, in the latent space.
    """

    def __init__(self, candidates: int = 512) -> None:
        self.candidates = candidates

    def sample(self, context, n):
        """Return (n,) rows of stored frames."""
        require_frames(context.experience, "CLASS")
        rows = context.experience.sample_rows(max(4 * n, self.candidates), context.generator)
        latents = context.experience.read("latent", rows)
        distance = np.linalg.norm(latents - latents.mean(axis=0), axis=1)
        return context.generator.permutation(rows[np.argsort(-distance)[:n]])
'''
SAMPLER_TEST = '''"""Run it with: python -m pytest test_MODULE.py"""

import numpy as np
from goal_samplers.conformance import check_sampler
from goal_samplers.made_up import made_up, representation_of
from MODULE import CLASS


def test_it_keeps_the_contract():
    assert check_sampler(CLASS) == []


def test_it_proposes_what_lies_far_out():
    context = made_up(representation_of(2, pictures=False))
    seen = context.experience.read("latent", np.arange(context.experience.size))
    proposed = context.experience.read("latent", CLASS().sample(context, 50))
    distance = lambda latents: np.linalg.norm(latents - seen.mean(axis=0), axis=1).mean()
    assert distance(proposed) > 1.2 * distance(seen)
'''
KINDS = {"sampler": (SAMPLER, SAMPLER_TEST)}
NEXT = """wrote MODULE.py and test_MODULE.py
  gcrl check MODULE:CLASS                    does it keep the contract?
  python -m pytest test_MODULE.py            the same and its idea, as a test
  gcrl practice goal_sampler=MODULE:CLASS    practise with it (goal_sampler.candidates=N sets its argument)"""


def new(kind: str, name: str, folder: Path | None = None) -> str:
    """Write ``NAME.py`` and ``test_NAME.py`` into `folder` (None: the current one) and return what to do with them.

    Raises:
        UserError: there is no such kind, the name is none of a module, or one of the files is there already (neither is written then).
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        near = "".join(letter if letter.isalnum() else "_" for letter in name.removesuffix(".py").lower()).strip("_0123456789")
        raise UserError(f"'{name}' is no module's name; expected small letters, digits and _ as in {near or 'my_sampler'}")
    at = Path.cwd() if folder is None else folder
    cls = "".join(part.capitalize() for part in name.split("_"))
    paths = at / f"{name}.py", at / f"test_{name}.py"
    for path in paths:
        if path.exists():
            raise UserError(f"{path.name} is there already; expected a name that is free here, such as {name}_2")
    for path, text in zip(paths, KINDS[kind]):
        path.write_text(_filled(text, name, cls))
    return _filled(NEXT, name, cls)


def _filled(text: str, module: str, cls: str) -> str:
    return text.replace("MODULE", module).replace("CLASS", cls)
