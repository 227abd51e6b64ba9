"""Colour in what networks see: weighted beside brightness, and exchanged, so that other colours than the data's are drawn."""

from __future__ import annotations

import numpy as np
import torch
from test_vqvae import SIZE, SPACE, STEPS, Memory, fit

from representations.colour import coloured
from representations.vqvae import VQVAE

RED, BLUE = [220, 30, 30], [30, 30, 220]


def squares(colour, seed):
    """Return 600 pictures of a square somewhere, and where it is: (n, H, W)."""
    generator = np.random.default_rng(seed)
    images, where = np.full((60 * (STEPS + 1), SIZE, SIZE, 3), 200, np.uint8), np.zeros((60 * (STEPS + 1), SIZE, SIZE), bool)
    for image, square in zip(images, where):
        y, x = generator.integers(0, SIZE - 8, 2)
        square[y : y + 8, x : x + 8] = True
        image[square] = colour
    return images, where


def test_a_weight_keeps_the_grey_and_multiplies_the_distance_from_it():
    pictures = torch.rand((2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    weighted = coloured(pictures, 3.0)
    torch.testing.assert_close(weighted.mean(1), pictures.mean(1))
    torch.testing.assert_close(weighted - weighted.mean(1, keepdim=True), 3 * (pictures - pictures.mean(1, keepdim=True)))
    torch.testing.assert_close(coloured(weighted, 1 / 3.0), pictures)


def test_things_of_a_colour_that_the_data_lack_are_drawn_in_it_where_channels_were_exchanged():
    """All squares of the data are red, those that are drawn afterwards blue."""
    blue, where = squares(BLUE, seed=1)
    found = {}
    for recolour in (False, True):
        vqvae = VQVAE(SPACE, seed=0, codes=64, first_steps=300, prior_steps=0, colour_weight=3.0, recolour=recolour)
        fit(vqvae, Memory(squares(RED, seed=0)[0]))
        drawn = vqvae.decode(vqvae.encode({"image": blue}))[where].astype(int)
        found[recolour] = np.mean(drawn[:, 2] - drawn[:, :2].max(axis=1))  # 190 in truth
    assert found[True] > 80
    assert found[False] < 20


def test_the_mean_pictures_colour_comes_back_whatever_the_weight():
    images, _ = squares(RED, seed=2)
    errors = []
    for weight in (1.0, 3.0):
        vqvae = VQVAE(SPACE, seed=0, codes=32, first_steps=200, prior_steps=0, colour_weight=weight)
        fit(vqvae, Memory(images))
        errors.append(np.square((vqvae.decode(vqvae.encode({"image": images})).astype(float) - images) / 255).mean())
    assert max(errors) < 0.1 * np.square((images - images.mean(axis=0)) / 255).mean()
