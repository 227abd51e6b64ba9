"""A normalising flow over states or latents: an exact density that can be sampled as easily as it is scored."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import pad, softmax, softplus

from envs.errors import UserError
from goal_samplers.api import DrawRows, Experience, GoalContext, Rows
from goal_samplers.densities.columns import read_columns
from goal_samplers.densities.trained import Trained
from representations.curve import finite_curve

BOUND = 4.0  # standard deviations: beyond, the monotone curves are straight lines
LEAST = 1e-3  # of a bin's width and height, and of a slope
STRETCH = 2.0  # most that one coupling scales by, as a logarithm


class Flow(Trained):
    """p(s) over the columns of `key`, standardised: a unit Gaussian seen through an invertible map, trained by maximum likelihood.

    The map bends each column by a monotone curve of its own (rational-quadratic splines of `bins` bins, Durkan et al. 2019) and then mixes
    columns in `couplings` affine couplings (RealNVP, Dinh et al. 2017), in which one half of the columns scales and shifts the other. One
    column has nothing to be coupled with: there the curve alone is the flow, and can show several modes.
    noise: deviation of Gaussian noise that is added to the rows in training, in standard deviations of the data: the finest structure that
    the density can show. Without it, the density of repeated rows or constant columns would grow without end.
    steps: Adam steps per fit, from the weights of the last one. A row far outside the data gets a vanishing density, which `KDE` bounds.
    Raises `UserError` for an argument out of range, or where `key` holds pictures.
    """

    name = "Flow"

    def __init__(
        self,
        key: str = "latent",
        couplings: int = 6,
        hidden: int = 64,
        bins: int = 8,
        noise: float = 0.05,
        steps: int = 300,
        batch_size: int = 256,
        lr: float = 2e-3,
    ) -> None:
        for name, value in {"hidden": hidden, "bins": bins, "steps": steps, "batch_size": batch_size}.items():
            if value < 1:
                raise UserError(f"Flow: {name} = {value}; expected at least 1")
        if couplings < 0:
            raise UserError(f"Flow: couplings = {couplings}; expected at least 0")
        if bins > 100:
            raise UserError(f"Flow: bins = {bins}; expected at most 100")
        for name, number in {"noise": noise, "lr": lr}.items():
            if not 0 < number < math.inf:
                raise UserError(f"Flow: {name} = {number}; expected a number above 0")
        super().__init__(key, lr)
        self._couplings, self._hidden, self._bins, self._noise = couplings, hidden, bins, noise
        self._steps, self._batch_size = steps, batch_size

    def networks(self, width: int) -> nn.Module:
        """Return new networks for rows of `width` columns."""
        return _Network(width, self._couplings, self._hidden, self._bins)

    def fit(self, context: GoalContext, draw: DrawRows) -> dict[str, float]:
        """Take `steps` Adam steps on drawn rows; return the training loss (nats per standardised row) of the last tenth."""
        _, data, noise = self._training_data(context, draw, self._steps * self._batch_size)
        losses = []
        for x in torch.split(data, self._batch_size):
            loss = -self._networks.log_prob(x + self._noise * torch.randn(x.shape, generator=noise)).mean()
            self._optimizer.clear()
            loss.backward()
            # one row far out has a gradient that would undo what the others taught
            nn.utils.clip_grad_norm_(self._networks.parameters(), 5.0)
            self._optimizer.step()
            losses.append(loss.detach())
        curve = finite_curve("Flow", losses)
        return {"density_loss": float(curve[-max(len(losses) // 10, 1) :].mean())}

    def log_prob(self, experience: Experience, rows: Rows, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n,) exact log densities in nats per unit volume of `key`; raise `UserError` before the first fit."""
        scale = self._fitted()
        x = torch.as_tensor(scale.apply(read_columns(experience, self.key, rows)), dtype=torch.float32)
        with torch.inference_mode():
            logs = torch.cat([self._networks.log_prob(part) for part in torch.split(x, 1024)])
        return np.asarray(logs.numpy() - scale.log_volume, np.float32)

    def sample(self, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (n, d) samples, in the units of `key`; raise `UserError` before the first fit."""
        scale = self._fitted()
        z = torch.as_tensor(generator.standard_normal((n, len(scale.mean)), dtype=np.float32))
        with torch.inference_mode():
            x = self._networks.inverse(z)
        return scale.invert(x.numpy().astype(np.float64)).astype(np.float32)


class _Curves(nn.Module):
    """One monotone curve per column from [-BOUND, BOUND] onto itself, the identity outside and before training."""

    def __init__(self, width: int, bins: int) -> None:
        super().__init__()
        self.widths = nn.Parameter(torch.zeros(width, bins))
        self.heights = nn.Parameter(torch.zeros(width, bins))
        self.slopes = nn.Parameter(torch.full((width, bins - 1), math.log(math.expm1(1 - LEAST))))

    def forward(self, x: torch.Tensor, inverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (n, w) curves at x (n, w), or of the inverse curves, and (n,) the log of the volume that they stretch by."""
        across, up = (self._knots(raw) for raw in (self.widths, self.heights))
        slopes = pad(LEAST + softplus(self.slopes), (1, 1), value=1.0)  # straight on at both ends
        inside = (x > -BOUND) & (x < BOUND)
        at = torch.where(inside, x, 0.0)
        edges = up if inverse else across
        cell = torch.searchsorted(edges[:, 1:-1].contiguous(), at.T.contiguous(), right=True)  # (w, n)
        left, right, low, high, start, end = (knots.gather(1, cell + step).T for knots in (across, up, slopes) for step in (0, 1))
        mean = (high - low) / (right - left)
        if inverse:
            # the root of the quadratic in [0, 1], in the form that does not cancel
            offset = at - low
            bend = offset * (start + end - 2 * mean)
            a, b, c = (high - low) * (mean - start) + bend, (high - low) * start - bend, -mean * offset
            share = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0.0).sqrt())
            value = left + share * (right - left)
        else:
            share = (at - left) / (right - left)
        mixed = share * (1 - share)
        below = mean + (start + end - 2 * mean) * mixed
        if not inverse:
            value = low + (high - low) * (mean * share.square() + start * mixed) / below
        slope = mean.square() * (end * share.square() + 2 * mean * mixed + start * (1 - share).square()) / below.square()
        log_slope = torch.where(inside, slope.log(), 0.0).sum(dim=1)
        return torch.where(inside, value, x), -log_slope if inverse else log_slope

    def _knots(self, raw: torch.Tensor) -> torch.Tensor:
        bins = raw.shape[1]
        sizes = LEAST + (1 - LEAST * bins) * softmax(raw, dim=1)
        inner = 2 * BOUND * sizes.cumsum(dim=1)[:, :-1] - BOUND
        return pad(pad(inner, (1, 0), value=-BOUND), (0, 1), value=BOUND)


class _Network(nn.Module):
    """Curves, then affine couplings: states (n, w) to points (n, w) that should be unit Gaussian, and back."""

    def __init__(self, width: int, couplings: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.curves = _Curves(width, bins)
        self._halves: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.couplings = nn.ModuleList()
        for number in range(couplings if width > 1 else 0):
            # the same columns twice, with roles exchanged, and then another division of them
            order = torch.as_tensor(np.random.default_rng(number // 2).permutation(width))
            parts = order[: width // 2], order[width // 2 :]
            given, moved = parts if number % 2 else parts[::-1]
            self._halves.append((given, moved))
            last = nn.Linear(hidden, 2 * len(moved))
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.couplings.append(nn.Sequential(nn.Linear(len(given), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last))

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n,) log densities of standardised states (n, w)."""
        z, logs = self.curves(x, inverse=False)
        for network, (given, moved) in zip(self.couplings, self._halves):
            log_scale, shift = self._affine(network, z[:, given])
            z = z.index_copy(1, moved, z[:, moved] * log_scale.exp() + shift)
            logs = logs + log_scale.sum(dim=1)
        result: torch.Tensor = logs - 0.5 * z.square().sum(dim=1) - 0.5 * math.log(2 * math.pi) * x.shape[1]
        return result

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """Return (n, w) the standardised states of points (n, w)."""
        for network, (given, moved) in zip(reversed(self.couplings), reversed(self._halves)):
            log_scale, shift = self._affine(network, z[:, given])
            z = z.index_copy(1, moved, (z[:, moved] - shift) * (-log_scale).exp())
        x: torch.Tensor = self.curves(z, inverse=True)[0]
        return x

    def _affine(self, network: nn.Module, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_scale, shift = network(given).chunk(2, dim=1)
        return STRETCH * torch.tanh(log_scale / STRETCH), shift
