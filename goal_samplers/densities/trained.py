"""What densities that are trained by gradients share: networks made at the first fit, their scale, states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from envs.errors import UserError
from goal_samplers.api import DrawRows, GoalContext
from goal_samplers.densities.columns import Standardiser, read_columns
from representations.adam import Adam
from representations.init import seeded
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state


class Trained(ABC):
    """A density of standardised columns of `key` whose networks are made for their width at the first fit, and go on learning at each."""

    name: ClassVar[str]  # in errors
    key: str
    _lr: float
    _networks: Any  # of `networks`

    def __init__(self, key: str, lr: float) -> None:
        self.key, self._lr = key, lr
        self._scale: Standardiser | None = None
        self._optimizer: Adam

    @abstractmethod
    def networks(self, width: int) -> nn.Module:
        """Return new networks for rows of `width` columns."""

    def _training_data(self, context: GoalContext, draw: DrawRows, count: int) -> tuple[Standardiser, torch.Tensor, torch.Generator]:
        """Return the scale of `count` drawn rows, these standardised (n, w), and a generator of noise; networks are made where none are."""
        columns = read_columns(context.experience, self.key, draw(count))
        if self._scale is None:
            self._build(columns.shape[1], int(context.generator.integers(2**31)))
        self._scale = Standardiser(columns)
        data = torch.as_tensor(self._scale.apply(columns), dtype=torch.float32)
        return self._scale, data, torch.Generator().manual_seed(int(context.generator.integers(2**63)))

    def _build(self, width: int, seed: int) -> None:
        self._networks = seeded(lambda: self.networks(width), seed)
        self._optimizer = Adam(self._lr, self._networks)

    def _fitted(self) -> Standardiser:
        if self._scale is None:
            raise UserError(f"{self.name} is not fitted yet; expected a call of fit first")
        return self._scale

    def state_dict(self) -> dict[str, Any]:
        """Return scale, networks and optimiser; {} before the first fit."""
        if self._scale is None:
            return {}
        return {
            "scale": self._scale.state_dict(),
            "networks": module_state(self._networks),
            "optimizer": optimizer_state(self._optimizer, self._networks),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises `UserError` naming what is missing or misshapen."""
        if not state:
            self._scale = None
            return
        scale = Standardiser.from_state(entry(state, "scale", self.name))
        self._build(len(scale.mean), 0)
        load_module(self._networks, entry(state, "networks", self.name), self.name)
        load_optimizer_state(self._optimizer, self._networks, entry(state, "optimizer", self.name), self.name)
        self._scale = scale
