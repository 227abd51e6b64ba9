"""Goal-conditioned self-supervised robot learning: ``gcrl.practice(experiment="door")``, ``gcrl.load(run)``; see README.md."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


def _refuse_shadowing() -> None:
    """Raise `ImportError` when a folder or module of the user's hides one of the packages that come with gcrl."""
    for name in ("envs", "representations", "goal_samplers"):
        spec = importlib.util.find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or []), *([spec.origin] if spec.origin else [])]
        if places and not any(_ROOT in Path(place).resolve().parents for place in places):
            raise ImportError(
                f"'{places[0]}' hides gcrl's own package '{name}' at {_ROOT / name}: rename it, or start Python from another folder "
                "(python -P keeps the script's folder off the path)"
            )


_refuse_shadowing()


def practice(**settings: Any) -> Path:
    """Practise and return the run's folder: ``gcrl.practice(experiment="door", seed=1, goal_sampler={"alpha": -0.5})``.

    Keywords are the command line's keys; a string chooses from a group (``agent="td3"``, ``goal_sampler="my_module:MySampler"``), a
    dict sets fields. Practice starts a process: in a script, call it under ``if __name__ == "__main__":``. Raises `UserError` as the
    command does.
    """
    from gcrl.config import as_overrides, check_parts, load_settings
    from gcrl.practice import practice as run

    loaded = load_settings(as_overrides(settings))
    check_parts(loaded)
    return Path(run(loaded))


def load(path: str | Path, planner: str | dict[str, Any] | None = None) -> Any:
    """Return a finished or interrupted run as something that acts: ``run.act(image, goal_image)``.

    planner: another one than the run's, ``"none"``, or other settings of the run's own, ``{"subgoals": 2}``. Raises `UserError` where
    `path` is no run or the planner does not go with it.
    """
    from gcrl.config import as_overrides
    from gcrl.run import load as load_run

    return load_run(path, [] if planner is None else as_overrides({"planner": planner}))


class _Package(types.ModuleType):
    """Keeps ``gcrl.practice`` the function above: importing the module of that name would otherwise replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "practice" and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

__all__ = ["load", "practice"]
