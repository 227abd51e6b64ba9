"""Files of goals, `gcrl goals`: made from an expert's rollouts or from photos, read back as `GoalFile`; see docs/goals.md."""

from gcrl.goals.file import GoalFile, GoalHeader
from gcrl.goals.make import make_goals

__all__ = ["GoalFile", "GoalHeader", "make_goals"]
