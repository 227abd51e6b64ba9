"""A gated PixelCNN over grids of codes, given the grid of the scene's first frame: which later frames this scene can lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, pad

from representations.adam import Adam
from representations.api import Experience, Rows
from representations.curve import finite_curve
from representations.init import seeded
from representations.state import entry, load_module, load_optimizer_state, module_state, optimizer_state

Tokens = NDArray[np.int64]  # (n, h, w) numbers of codes
REACH = 2  # cells that a kernel looks up, to the left and, in rows above, to the right


def gate(features: torch.Tensor) -> torch.Tensor:
    """Return tanh(a) · sigmoid(b) of the two halves of features (n, 2c, h, w)."""
    a, b = features.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class Layer(nn.Module):
    """One gated layer: a vertical stack that sees the rows above, and a horizontal one that sees the row's left part and the vertical.

    Two stacks leave no blind spot (van den Oord et al. 2016). The convolutions pad nothing themselves: the caller hands them whole padded
    maps, or only the few cells that one output looks at.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vertical = nn.Conv2d(width, 2 * width, (REACH + 1, 2 * REACH + 1))
        self.horizontal = nn.Conv2d(width, 2 * width, (1, REACH + 1))
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.scene = nn.Conv2d(width, 4 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def down(self, above: torch.Tensor, rows: torch.Tensor, scene: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next vertical `rows`, and what the horizontal stack hears of them; above: padded, up to and with `rows`."""
        features = self.vertical(above)
        to_vertical, to_horizontal = self.scene(scene).chunk(2, dim=1)
        return rows + gate(features + to_vertical), self.across(features) + to_horizontal

    def along(self, left: torch.Tensor, cells: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        """Return the next horizontal `cells`; left: padded, up to and with `cells`."""
        added: torch.Tensor = self.out(gate(self.horizontal(left) + heard))
        return cells + added


class PixelCNN(nn.Module):
    """Logits of each token of a grid, given the tokens before it in reading order and the tokens of the scene's first frame.

    The scene is heard everywhere: as it looks around the same place, and as a whole through its pooled features, since what moved since
    may now lie anywhere. A learned map tells places apart.
    """

    def __init__(self, codes: int, grid: tuple[int, int], width: int, layers: int) -> None:
        super().__init__()
        self._grid, self._width = grid, width
        self.embedding = nn.Embedding(codes, width)
        self.layers = nn.ModuleList([Layer(width) for _ in range(layers)])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, codes, 1))
        self.scene_embedding = nn.Embedding(codes, width)
        self.places = nn.Parameter(0.1 * torch.randn(1, width, *grid))
        self.scene_layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.whole = nn.Linear(2 * width, width)
        self.near = nn.Conv2d(width, width, 1)

    def _stack(self) -> list[Layer]:
        return cast("list[Layer]", list(self.layers))

    def scene(self, context: torch.Tensor) -> torch.Tensor:
        """Return the features (n, width, h, w) of the first frame's tokens (n, h, w)."""
        maps = self.scene_layers(self.scene_embedding(context).permute(0, 3, 1, 2) + self.places)
        pooled = self.whole(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))
        result: torch.Tensor = self.near(maps) + pooled[:, :, None, None] + self.places
        return result

    def forward(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Return logits (n, codes, h, w) of tokens (n, h, w); those at a place do not depend on the token there or on any after it."""
        scene = self.scene(context)
        embedded = self.embedding(tokens).permute(0, 3, 1, 2)
        vertical = pad(embedded, (0, 0, 1, 0))[:, :, :-1]  # a cell holds the token above it
        horizontal = pad(embedded, (1, 0))[:, :, :, :-1]  # or the one to its left
        for layer in self._stack():
            vertical, heard = layer.down(pad(vertical, (REACH, REACH, REACH, 0)), vertical, scene)
            horizontal = layer.along(pad(horizontal, (REACH, 0)), horizontal, heard)
        logits: torch.Tensor = self.head(horizontal)
        return logits

    def sample(self, context: torch.Tensor, uniform: torch.Tensor, temperature: float) -> torch.Tensor:
        """Return tokens (n, h, w) drawn by inverse distribution functions at `uniform` (n, h, w) in [0, 1).

        Every feature is computed once: the vertical stack row by row, the horizontal one cell by cell, from maps of what is there already.
        """
        scene = self.scene(context)
        n, (height, width) = len(context), self._grid
        tokens = torch.zeros(n, height, width, dtype=torch.long, device=context.device)
        depth = len(self.layers)
        above = [scene.new_zeros(n, self._width, height + REACH, width + 2 * REACH) for _ in range(depth + 1)]
        for row in range(height):
            if row:
                above[0][:, :, row + REACH, REACH:-REACH] = self.embedding(tokens[:, row - 1]).permute(0, 2, 1)
            here, heard = slice(row + REACH, row + REACH + 1), []
            for at, layer in enumerate(self._stack()):
                rows, said = layer.down(
                    above[at][:, :, row : row + REACH + 1], above[at][:, :, here, REACH:-REACH], scene[:, :, row : row + 1]
                )
                above[at + 1][:, :, here, REACH:-REACH] = rows
                heard.append(said)
            left = [scene.new_zeros(n, self._width, 1, width + REACH) for _ in range(depth)]
            for column in range(width):
                cells = scene.new_zeros(n, self._width, 1, 1)
                if column:
                    cells = self.embedding(tokens[:, row, column - 1])[:, :, None, None]
                for at, layer in enumerate(self._stack()):
                    left[at][:, :, :, column + REACH : column + REACH + 1] = cells
                    cells = layer.along(left[at][:, :, :, column : column + REACH + 1], cells, heard[at][:, :, :, column : column + 1])
                tokens[:, row, column] = draw(self.head(cells)[:, :, 0, 0], uniform[:, row, column], temperature)
        return tokens


def draw(logits: torch.Tensor, uniform: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return (n,) the index at which the distribution function of logits (n, k) / temperature passes uniform (n,)."""
    total = (logits / temperature).double().softmax(dim=1).cumsum(dim=1)
    found = torch.searchsorted(total, uniform.double()[:, None] * total[:, -1:], right=True)[:, 0]
    return found.clamp_max(logits.shape[1] - 1)


class ScenePrior:
    """p(tokens of a later frame | tokens of the first frame of its episode), both (n, h, w), for sampling what a scene can lead to.

    Minimises the mean negative log-likelihood of a token in nats, by Adam, from the present weights. width, layers: of the PixelCNN.
    Source: the gated PixelCNN (van den Oord et al. 2016) as the prior of VAL (Khazatsky et al. 2021).
    """

    def __init__(self, codes: int, grid: tuple[int, int], *, seed: int, device: torch.device, width: int, layers: int, lr: float) -> None:
        self._device = device
        network = seeded(lambda: PixelCNN(codes, grid, width, layers), seed)
        self.network: PixelCNN = network.to(memory_format=torch.channels_last).to(device)  # type: ignore[call-overload]
        self._optimizer = Adam(lr, self.network)

    def fit(self, grids: Tokens, later: Rows, first: Rows, batch_size: int) -> torch.Tensor:
        """Take a step on each `batch_size` of the pairs, whose tokens are grids[later] and grids[first]; return the losses (steps,)."""
        losses = []
        for start in range(0, len(later), batch_size):
            part = slice(start, start + batch_size)
            tokens = self._tensor(grids[later[part]])
            loss = cross_entropy(self.network(tokens, self._tensor(grids[first[part]])), tokens)
            self._optimizer.descend(loss)
            losses.append(loss.detach())
        return finite_curve("VQVAE, its prior", losses)

    def nats(self, tokens: Tokens, contexts: Tokens) -> NDArray[np.float32]:
        """Return (n,) the mean negative log-likelihood of the tokens of each pair, in nats."""
        result = np.empty(len(tokens), np.float32)
        with torch.inference_mode():
            for start in range(0, len(tokens), 64):
                part = slice(start, start + 64)
                later = self._tensor(tokens[part])
                losses = cross_entropy(self.network(later, self._tensor(contexts[part])), later, reduction="none")
                result[part] = losses.mean(dim=(1, 2)).cpu().numpy()
        return result

    def sample(self, contexts: Tokens, generator: np.random.Generator, temperature: float = 1.0) -> Tokens:
        """Return (n, h, w) tokens of a possible later frame for each first frame (n, h, w); a low temperature prefers likely ones."""
        uniform = torch.as_tensor(generator.random(contexts.shape), device=self._device)
        with torch.inference_mode():
            parts = zip(torch.split(self._tensor(contexts), 256), torch.split(uniform, 256))
            found = [self.network.sample(context, part, temperature) for context, part in parts if len(context)]
        return torch.cat(found).cpu().numpy() if found else np.zeros(contexts.shape, np.int64)

    def _tensor(self, tokens: Tokens) -> torch.Tensor:
        return torch.as_tensor(tokens, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        return {"network": module_state(self.network), "optimizer": optimizer_state(self._optimizer, self.network)}

    def load_state_dict(self, state: Mapping[str, Any], owner: str) -> None:
        load_module(self.network, entry(state, "network", owner), owner)
        load_optimizer_state(self._optimizer, self.network, state.get("optimizer", {}), owner)


def pairs(experience: Experience, rows: Rows) -> tuple[Rows, Rows]:
    """Return those of `rows` that come later than the first frame of their episode, and those first frames; all rows if none does."""
    begin = np.sort(experience.episodes()[0])
    first = begin[np.maximum(np.searchsorted(begin, rows, side="right") - 1, 0)]
    later = rows != first
    return (rows[later], first[later]) if later.any() else (rows, first)
