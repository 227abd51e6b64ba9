"""Goal-conditioned environments: ``envs.make("gcrl/Door-v0")``, or any Gymnasium goal environment by its id."""

from envs.api import Capabilities, GoalSet, TaskEnv
from envs.errors import UserError
from envs.registry import available, make, register_with_gymnasium

register_with_gymnasium()

__all__ = ["Capabilities", "GoalSet", "TaskEnv", "UserError", "available", "make"]
