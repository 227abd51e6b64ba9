"""What a VAE minimises and what it knows of a density: the parts shared by picture and state VAEs."""

from __future__ import annotations

import math

import torch


def kl_to_unit(means: torch.Tensor, log_variances: torch.Tensor) -> torch.Tensor:
    """Return (n,) KL divergences in nats of diagonal Gaussians (n, d) from N(0, I) (Kingma and Welling 2013, appendix B)."""
    return 0.5 * (means.square() + log_variances.exp() - 1.0 - log_variances).sum(dim=1)


def gaussian_log_prob(x: torch.Tensor, mean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Return (n,) log densities in nats of rows x (n, ...) under Gaussians around `mean`; `sigma` is broadcast over a row's entries."""
    squares = ((x - mean) / sigma).square().flatten(1).sum(dim=1)
    log_volume = torch.log(sigma).expand(x.shape[1:]).sum() + x[0].numel() * 0.5 * math.log(2 * math.pi)
    return -0.5 * squares - log_volume


def log_importance_weight(x_given_z: torch.Tensor, noise: torch.Tensor, z: torch.Tensor, log_variances: torch.Tensor) -> torch.Tensor:
    """Return (n,) log p(x|z) + log p(z) - log q(z|x) for z = mean + exp(log_variance / 2) · noise, p(z) = N(0, I)."""
    return x_given_z + 0.5 * (noise.square() - z.square() + log_variances).sum(dim=1)


def combine(log_weights: torch.Tensor, estimator: str) -> torch.Tensor:
    """Combine (N, n) log importance weights into (n,) log densities.

    ``importance``: log of their mean, the paper's estimate (Skew-Fit, section 4.2); ``elbo``: the mean of their logs, a lower bound.
    """
    if estimator == "elbo":
        return log_weights.mean(dim=0)
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
