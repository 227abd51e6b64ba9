"""Planners: subgoals on the way to a goal."""
