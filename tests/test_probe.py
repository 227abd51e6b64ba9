"""The probe: what a latent holds, and what its distance follows."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import UserError
from representations.probe import probe

# the probe


def test_the_probe_tells_what_a_latent_holds_and_what_its_distance_follows():
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(900, 3))
    latents = np.stack([10 * factors[:, 0], factors[:, 1] + 0.01 * generator.normal(size=900)], axis=1)
    first, second, absent = probe(latents, factors, ["first", "second", "absent"], generator)
    assert first.r2 > 0.99
    assert second.r2 > 0.99
    assert absent.r2 < 0.1
    assert first.pearson > 0.95
    assert first.spearman > 0.95
    assert second.pearson < 0.3
    assert first.neighbour_error < 0.2 * first.chance_error
    assert absent.neighbour_error == pytest.approx(absent.chance_error, rel=0.2)


def test_held_out_groups_expose_a_latent_that_only_names_the_episode():
    generator = np.random.default_rng(0)
    episode = np.repeat(np.arange(30), 20)
    factor = generator.normal(size=30)[episode][:, None]
    names_only = np.eye(30)[episode]
    leaky = probe(names_only, factor, ["f"], generator)[0]
    honest = probe(names_only, factor, ["f"], generator, groups=episode)[0]
    assert leaky.r2 > 0.9
    assert honest.r2 < 0.2


def test_a_factor_that_does_not_vary_is_not_a_number_and_few_rows_are_refused():
    generator = np.random.default_rng(0)
    row = probe(generator.normal(size=(30, 2)), np.ones((30, 1)), ["still"], generator)[0]
    assert np.isnan(row.r2)
    assert np.isnan(row.pearson)
    with pytest.raises(UserError, match="at least 9"):
        probe(np.zeros((4, 1)), np.zeros((4, 1)), ["x"], generator)
    with pytest.raises(UserError, match="a name per factor"):
        probe(np.zeros((20, 1)), np.zeros((20, 2)), ["x"], generator)
