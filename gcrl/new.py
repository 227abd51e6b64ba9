"""``gcrl new KIND NAME``: a module of one's own and its test to start from, written into the current folder."""

from __future__ import annotations

import keyword
from importlib.resources import files
from pathlib import Path

from envs.errors import UserError, unknown

# What each kind is called on the command line, and what to do with it.
KINDS = {
    "sampler": "practice goal_sampler=MODULE:CLASS    practise with it (goal_sampler.candidates=N sets its argument)",
    "representation": "practice representation=MODULE:CLASS    practise with it (representation.cells=N sets its argument)",
    "env": "practice experiment=push_state env=MODULE:CLASS representation.scale=null    practise in it, by state",
}
TAKEN = ("GoalSet", "Capabilities", "PointTask", "UserError")  # what the templates import
NEXT = """wrote MODULE.py and test_MODULE.py
  gcrl check MODULE:CLASS    does it keep the contract?
  python -m pytest test_MODULE.py    the same and its idea, as a test
  gcrl """


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
    if not cls.isidentifier() or keyword.iskeyword(cls) or cls in TAKEN:
        raise UserError(
            f"'{name}' would name a class '{cls}', which is taken or no name; expected another, such as my_{name.strip('_') or kind}"
        )
    paths = at / f"{name}.py", at / f"test_{name}.py"
    for path in paths:
        if path.exists():
            raise UserError(f"{path.name} is there already; expected a name that is free here, such as {name}_2")
    for path, template in zip(paths, (kind, f"{kind}_test")):
        text = (files("gcrl") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
        path.write_text(_filled(text, name, cls), encoding="utf-8")
    return _filled(NEXT + KINDS[kind], name, cls)


def _filled(text: str, module: str, cls: str) -> str:
    return text.replace("MODULE", module).replace("CLASS", cls)
