"""DISCOVER: practise what is in reach, still uncertain, and on the way to a commanded goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.errors import UserError
from goal_samplers.api import GoalContext, Rows
from goal_samplers.candidates import pick, starts
from goal_samplers.experience import require_frames
from representations.api import DrawRows, Floats


class Discover:
    """Of `choices` stored frames g, the one with the highest a·[V(s0, g) + b·σ(s0, g)] + (1 − a)·[V(g, g*) + b·σ(g, g*)].

    Diaz-Bone et al. 2025, "DISCOVER: Automated curricula for sparse-reward reinforcement learning". V is what the agent expects (reward
    units), σ the disagreement of its critics, s0 the first frame of a stored episode, g* a goal of the task's own. `balance` a is moved so
    that a share `aim` of the goals practised last is reached: toward what is in reach while fewer are, toward g* while more are.

    bonus: b; the paper weighs the four terms singly, here two numbers tie them. rate: how far a moves per epoch for a success that is off
    by 1. candidates: frames that are scored. targets: commanded goals that are drawn at a time, each for its share of the proposals.
    Raises `UserError` for numbers out of range.
    """

    needs_commanded = True
    needs_value = True
    needs_value_spread = True

    def __init__(
        self,
        balance: float = 0.5,
        bonus: float = 1.0,
        aim: float = 0.5,
        rate: float = 0.1,
        candidates: int = 256,
        choices: int = 64,
        targets: int = 4,
    ) -> None:
        for name, share in (("balance", balance), ("aim", aim)):
            if not 0.0 <= share <= 1.0:
                raise UserError(f"Discover: {name} = {share}; expected a share from 0 to 1")
        for name, amount in (("bonus", bonus), ("rate", rate)):
            if amount < 0:
                raise UserError(f"Discover: {name} = {amount}; expected at least 0")
        for name, count in (("candidates", candidates), ("choices", choices), ("targets", targets)):
            if count < 1:
                raise UserError(f"Discover: {name} = {count}; expected at least 1")
        self.balance, self._bonus, self._aim, self._rate = balance, bonus, aim, rate
        self.candidates, self._choices, self._targets = candidates, choices, targets

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Move the balance by the share of goals reached; `draw` is not used. Metric: ``balance``."""
        if np.isfinite(context.reached):
            self.balance = float(np.clip(self.balance + self._rate * (self._aim - context.reached), 0.0, 1.0))
        return {"balance": self.balance}

    def sample(self, context: GoalContext, n: int) -> Rows:
        """Return (n,) rows in random order; raises `UserError` without experience, commanded goals or an agent of several critics."""
        require_frames(context.experience, "Discover")
        if context.commanded is None or context.value is None or context.value_spread is None:
            raise UserError(
                "Discover asks for the task's own goals and for an agent whose critics may disagree; expected an agent of at least two "
                "critics, such as agent=sac"
            )
        rows = context.experience.sample_rows(self.candidates, context.generator)
        goals = np.asarray(context.experience.read("latent", rows), np.float32)
        near = self._hope(context, starts(context, len(rows)), goals)
        proposed = []
        targets = context.commanded(min(n, self._targets), context.generator).params
        for target, count in zip(targets, [len(part) for part in np.array_split(np.arange(n), len(targets))]):
            onward = self._hope(context, rows, np.repeat(target[None], len(rows), axis=0))
            scores = self.balance * near + (1.0 - self.balance) * onward
            proposed.append(pick(rows, scores, count, self._choices, context.generator))
        return context.generator.permutation(np.concatenate(proposed))

    def _hope(self, context: GoalContext, rows: Rows, goals: Floats) -> Floats:
        assert context.value is not None
        assert context.value_spread is not None
        return context.value(rows, goals) + np.float32(self._bonus) * context.value_spread(rows, goals)

    def state_dict(self) -> dict[str, Any]:
        return {"balance": self.balance}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "balance" not in state:
            raise UserError("the saved state of Discover has no 'balance'; expected it alone")
        self.balance = float(state["balance"])
