"""The VQ-VAE: pictures survive the codes, the codebook stays in use, and the prior imagines outcomes of the scene that it is shown."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.errors import UserError
from representations.api import Experience, Representation
from representations.quantize import Quantiser, spread_out, usage
from representations.vq_prior import PixelCNN, ScenePrior, pairs
from representations.vqvae import RESERVOIR, VQVAE

SIZE, STEPS, SIDE = 32, 9, 8
COLOURS = np.array([[220, 30, 30], [30, 180, 40], [40, 60, 220], [230, 200, 40]], np.uint8)
SPACE = spaces.Dict({"image": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8), "achieved_goal": spaces.Box(-9.0, 9.0, (2,))})
QUICK = {"codes": 32, "first_steps": 4, "refit_steps": 3, "batch_size": 8, "prior_steps": 3, "prior_refit_steps": 2, "prior_width": 8}


class Memory:
    """An experience of pictures, in episodes of `steps` steps."""

    def __init__(self, images: np.ndarray, steps: int = STEPS) -> None:
        self._images, self._steps = images, steps
        self.size = len(images)

    def sample_rows(self, n, generator):
        return generator.integers(self.size, size=n)

    def read(self, key, rows):
        return self._images[rows]

    def episodes(self):
        first = np.arange(0, self.size, self._steps + 1)
        return first, np.minimum(self._steps, self.size - first - 1)


def squares(episodes, seed, size=SIZE):
    """Return pictures of one square, of one colour in an episode and at a place of its own in each frame, and the colours' numbers."""
    generator = np.random.default_rng(seed)
    colours = np.repeat(generator.integers(len(COLOURS), size=episodes), STEPS + 1)
    images = np.full((len(colours), size, size, 3), 200, np.uint8)
    images[:, :, :4] = 90
    for image, colour in zip(images, colours):
        y, x = 2 * generator.integers(2, (size - SIDE) // 2 + 1, 2)
        image[y : y + SIDE, x : x + SIDE] = COLOURS[colour]
    return images, colours


def main_colour(images):
    """Return (n,) the number of the colour that most pixels of each picture are near to; -1 where few are near to any."""
    near = np.abs(images[:, :, :, None].astype(int) - COLOURS).sum(axis=-1) < 90
    counts = near.sum(axis=(1, 2))
    return np.where(counts.max(axis=1) >= 10, counts.argmax(axis=1), -1)


def draw_from(memory, seed=0):
    generator = np.random.default_rng(seed)
    return lambda n: memory.sample_rows(n, generator)


def mse(one, other):
    return float(np.square((one.astype(np.float64) - other) / 255).mean())


def fit(vqvae, memory, seed=1, first=True):
    return vqvae.fit(memory, draw_from(memory, seed), np.random.default_rng(seed), first=first)


@pytest.fixture(scope="module")
def trained():
    vqvae = VQVAE(SPACE, seed=0, codes=32, first_steps=400, prior_steps=700, prior_lr=3e-3)
    metrics = fit(vqvae, Memory(squares(300, 0)[0]))
    return vqvae, metrics


@pytest.fixture(scope="module")
def unseen():
    return squares(60, 77)


# codes and pictures


def test_it_satisfies_the_protocol():
    vqvae = VQVAE(SPACE, seed=0)
    assert isinstance(vqvae, Representation)
    assert isinstance(Memory(squares(1, 0)[0]), Experience)
    latents = vqvae.encode({"image": squares(1, 0)[0]})
    assert latents.shape == (10, vqvae.latent_dim) == (10, 8 * 8 * 5)
    assert latents.dtype == np.float32


def test_unseen_pictures_are_reconstructed_far_better_than_by_the_mean_picture(trained, unseen):
    vqvae, metrics = trained
    images, _ = unseen
    error = mse(vqvae.decode(vqvae.encode({"image": images})), images)
    assert error < 0.1 * mse(images.mean(axis=0), images)
    assert metrics["reconstruction_mse"] < 0.1 * mse(images.mean(axis=0), images)


def test_the_codebook_does_not_collapse(trained):
    _, metrics = trained
    # four colours, in cells that are full or cut by the square's edges; most cells are empty, which bounds the perplexity
    assert metrics["perplexity"] > 4
    assert metrics["dead_codes"] < 0.3


def test_tokens_and_latents_are_two_names_of_the_same_thing(trained, unseen):
    vqvae, _ = trained
    images = unseen[0][:40]
    latents = vqvae.encode({"image": images})
    tokens = vqvae.tokens(latents)
    assert tokens.shape == (40, 8, 8)
    assert tokens.dtype == np.int64
    np.testing.assert_array_equal(vqvae.tokens({"image": images}), tokens)
    np.testing.assert_array_equal(vqvae.from_tokens(tokens), latents)
    any_tokens = np.random.default_rng(0).integers(32, size=(5, 8, 8))
    np.testing.assert_array_equal(vqvae.tokens(vqvae.from_tokens(any_tokens)), any_tokens)
    np.testing.assert_array_equal(vqvae.decode(vqvae.from_tokens(tokens)), vqvae.decode(latents))
    # the nearest code wins, so that a latent moved a little is still the same picture's
    np.testing.assert_array_equal(vqvae.tokens(latents + np.float32(1e-4)), tokens)


@pytest.mark.parametrize(("height", "width", "grid"), [(48, 48, (12, 12)), (64, 64, (16, 16)), (21, 35, (6, 9))])
def test_every_size_of_picture_decodes_to_its_own_size(height, width, grid):
    space = spaces.Dict({"image": spaces.Box(0, 255, (height, width, 3), np.uint8)})
    images = np.random.default_rng(0).integers(0, 255, (30, height, width, 3), dtype=np.uint8)
    vqvae = VQVAE(space, seed=0, **QUICK)
    fit(vqvae, Memory(images))
    latents = vqvae.encode({"image": images})
    assert vqvae.decode(latents).shape == images.shape
    assert vqvae.tokens(latents).shape == (30, *grid)
    assert vqvae.outcomes(latents[:2], np.random.default_rng(0)).shape == latents[:2].shape
    assert vqvae.decode(latents[:0]).shape == (0, height, width, 3)
    assert vqvae.tokens(latents[:0]).shape == (0, *grid)
    assert vqvae.prior(0, np.random.default_rng(0)).shape == (0, vqvae.latent_dim)


def test_a_rows_bits_do_not_depend_on_the_company_it_is_encoded_in(trained, unseen):
    vqvae, _ = trained
    images = unseen[0]
    few, many = vqvae.encode({"image": images[:8]}), vqvae.encode({"image": images[:300]})
    np.testing.assert_array_equal(vqvae.encode({"image": images[3:4]})[0], few[3])
    np.testing.assert_array_equal(vqvae.encode({"image": images[100:300]}), many[100:])


# quantisation


def test_codes_out_of_use_move_to_where_the_error_is_largest():
    generator = np.random.default_rng(0)
    noise = torch.Generator().manual_seed(0)
    centres = torch.as_tensor(generator.normal(size=(16, 3)) * 5, dtype=torch.float32)
    vectors = centres[generator.integers(16, size=4000)] + 0.05 * torch.randn(4000, 3, generator=noise)
    quantiser = Quantiser(16, 3)
    quantiser.codebook.fill_(40.0)  # far from everything: all vectors choose the same code
    quantiser.sums.fill_(40.0)
    assert usage(quantiser.nearest(vectors).numpy(), 16)["perplexity"] == 1.0
    for step in range(400):
        quantiser.update(vectors, quantiser.nearest(vectors))
        if step % 20 == 19 and step < 200:
            quantiser.restart(vectors, noise)
    found = quantiser.codebook[quantiser.nearest(vectors)]
    # two codes may share a cluster and one serve two that are close, but nothing far from every code is left
    assert float((found - vectors).square().mean() / vectors.var()) < 0.01
    assert usage(quantiser.nearest(vectors).numpy(), 16)["perplexity"] > 12


def test_the_first_codes_cover_the_data_and_differ_even_where_it_does_not():
    noise = torch.Generator().manual_seed(0)
    # one vector in a thousand is elsewhere: a uniform draw of eight would miss it nearly always
    vectors = torch.zeros(4000, 2)
    vectors[::1000] = 5.0
    rows = spread_out(vectors, 2, None, noise)
    assert sorted(vectors[rows, 0].tolist()) == [0.0, 5.0]
    quantiser = Quantiser(8, 2)
    quantiser.start(torch.ones(50, 2), noise)
    assert len(torch.unique(quantiser.codebook, dim=0)) == 8


# the prior


def test_outcomes_keep_the_scenes_colour_and_are_not_its_first_frame(trained, unseen):
    vqvae, _ = trained
    images, colours = unseen
    scenes = np.arange(0, len(images), STEPS + 1)
    latents = vqvae.encode({"image": images[scenes]})
    generator = np.random.default_rng(0)
    imagined = vqvae.decode(np.concatenate([vqvae.outcomes(latents, generator) for _ in range(3)]))
    wanted = np.tile(colours[scenes], 3)
    kept = (main_colour(imagined) == wanted).mean()
    chance = (main_colour(vqvae.decode(vqvae.prior(len(wanted), generator))) == wanted).mean()
    assert chance < 0.4
    assert kept > 0.6
    assert kept > chance + 0.25
    moved = np.abs(imagined.astype(int) - np.tile(images[scenes], (3, 1, 1, 1))).max(axis=-1) > 60
    assert np.mean(moved.sum(axis=(1, 2)) > SIDE) > 0.8


def test_unseen_outcomes_are_far_likelier_than_by_the_tokens_frequencies(trained):
    _, metrics = trained
    assert metrics["prior_nats"] < 0.3 * metrics["marginal_nats"]


def test_the_right_scene_makes_an_outcome_likelier_than_another_scene(trained, unseen):
    vqvae, _ = trained
    images, colours = unseen
    tokens = vqvae.tokens({"image": images})
    first = tokens[:: STEPS + 1].repeat(STEPS + 1, axis=0)
    other = np.roll(first, 5 * (STEPS + 1), axis=0)
    differ = (np.roll(colours, 5 * (STEPS + 1)) != colours) & (np.arange(len(images)) % (STEPS + 1) != 0)
    right, wrong = (vqvae._prior.nats(tokens[differ], context[differ]) for context in (first, other))
    assert wrong.mean() > right.mean() + 0.02
    assert (right < wrong).mean() > 0.7


def small_network(seed=0):
    torch.manual_seed(seed)
    return PixelCNN(7, (5, 6), width=8, layers=3)


def test_logits_depend_on_earlier_tokens_only_and_on_all_near_ones():
    network = small_network().double()
    generator = np.random.default_rng(0)
    tokens = torch.as_tensor(generator.integers(7, size=(1, 5, 6)))
    context = torch.as_tensor(generator.integers(7, size=(1, 5, 6)))
    with torch.no_grad():
        before = network(tokens, context)
        for place in range(30):
            changed = tokens.clone().view(-1)
            changed[place] = (changed[place] + 3) % 7
            moved = (network(changed.view(1, 5, 6), context) != before).any(dim=1).view(-1)
            assert not moved[: place + 1].any()
            row, column = divmod(place, 6)
            after = [(row, column + 1), (row + 1, column - 1), (row + 1, column), (row + 1, column + 1)]
            assert all(moved[r * 6 + c] for r, c in after if r < 5 and 0 <= c < 6)
        assert (network(tokens, (context + 1) % 7) != before).all(dim=1).all()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_incremental_sampling_draws_what_the_whole_network_would(temperature):
    network = small_network(3)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.mul_(6)  # distributions that depend on the tokens before, not nearly uniform ones
    generator = np.random.default_rng(1)
    context = torch.as_tensor(generator.integers(7, size=(20, 5, 6)))
    uniform = torch.as_tensor(generator.random((20, 5, 6)))
    with torch.inference_mode():
        fast = network.sample(context, uniform, temperature)
        slow = torch.zeros_like(fast)
        for row in range(5):
            for column in range(6):
                logits = network(slow, context)[:, :, row, column] / temperature
                passed = logits.double().softmax(dim=1).cumsum(dim=1) <= uniform[:, row, column, None]
                slow[:, row, column] = passed.sum(dim=1).clamp_max(6)
    np.testing.assert_array_equal(fast.numpy(), slow.numpy())
    assert len(np.unique(fast.numpy())) > 3


def test_a_low_temperature_prefers_likely_tokens(trained, unseen):
    vqvae, _ = trained
    contexts = vqvae.tokens({"image": unseen[0][::10]})
    nats = [vqvae._prior.nats(vqvae._prior.sample(contexts, np.random.default_rng(0), heat), contexts).mean() for heat in (0.3, 1.0, 2.0)]
    assert nats[0] < nats[1] < nats[2]


def test_sixty_four_goals_of_144_codes_take_less_than_a_second_and_a_half():
    prior = ScenePrior(128, (12, 12), seed=0, device=torch.device("cpu"), width=32, layers=4, lr=1e-3)
    contexts = np.random.default_rng(0).integers(128, size=(64, 12, 12))
    times = []
    for _ in range(2):
        start = time.process_time()
        assert prior.sample(contexts, np.random.default_rng(0)).shape == contexts.shape
        times.append(time.process_time() - start)
    assert min(times) < 1.5


def test_pairs_join_later_frames_to_the_first_of_their_episode():
    memory = Memory(np.zeros((25, 1, 1, 3), np.uint8), steps=9)
    later, first = pairs(memory, np.array([0, 3, 10, 11, 24, 9]))
    np.testing.assert_array_equal(later, [3, 11, 24, 9])
    np.testing.assert_array_equal(first, [0, 10, 20, 0])
    np.testing.assert_array_equal(pairs(memory, np.array([0, 10]))[0], [0, 10])  # nothing later: better than no pair


def test_the_prior_imagines_scenes_that_the_last_fit_met(trained):
    vqvae, _ = trained
    starts = vqvae._starts
    assert 200 < len(starts) <= RESERVOIR
    latents = vqvae.prior(5, np.random.default_rng(0))
    assert latents.shape == (5, vqvae.latent_dim)
    assert not np.array_equal(latents, vqvae.prior(5, np.random.default_rng(1)))
    fresh = VQVAE(SPACE, seed=0, **QUICK)
    assert fresh.prior(3, np.random.default_rng(0)).shape == (3, fresh.latent_dim)  # before any fit: noise, but no error


def test_without_a_prior_it_says_so_and_learns_pictures_all_the_same():
    vqvae = VQVAE(SPACE, seed=0, **QUICK | {"prior_steps": 0})
    metrics = fit(vqvae, Memory(squares(4, 0)[0]))
    assert "prior_nats" not in metrics
    for call in (lambda: vqvae.prior(1, np.random.default_rng(0)), lambda: vqvae.outcomes(np.zeros((1, 320)), np.random.default_rng(0))):
        with pytest.raises(UserError, match="prior_steps = 0"):
            call()


# state, seeds, little data


def test_a_restored_one_goes_on_bit_for_bit(trained):
    vqvae, _ = trained
    memory = Memory(squares(20, 5)[0])
    arguments = {"codes": 32, "first_steps": 400, "refit_steps": 10, "prior_lr": 3e-3, "prior_refit_steps": 5}
    twins = []
    for seed in (8, 9):
        twin = VQVAE(SPACE, seed=seed, **arguments)
        twin.load_state_dict(vqvae.state_dict())
        np.testing.assert_array_equal(twin.prior(4, np.random.default_rng(0)), vqvae.prior(4, np.random.default_rng(0)))
        before = twin.encode({"image": memory.read("image", np.arange(20))})
        fit(twin, memory, seed=5, first=False)
        assert not np.array_equal(twin.encode({"image": memory.read("image", np.arange(20))}), before)
        twins.append((twin.encode({"image": memory.read("image", np.arange(20))}), twin.prior(4, np.random.default_rng(2))))
    np.testing.assert_array_equal(twins[0][0], twins[1][0])
    np.testing.assert_array_equal(twins[0][1], twins[1][1])


def test_a_refit_keeps_what_was_learned(trained, unseen):
    vqvae, first = trained
    twin = VQVAE(SPACE, seed=9, codes=32, refit_steps=40, prior_lr=3e-3, prior_refit_steps=10)
    twin.load_state_dict(vqvae.state_dict())
    again = fit(twin, Memory(squares(300, 0)[0]), seed=5, first=False)
    assert again["fit_steps"] <= 40
    assert again["reconstruction_mse"] < 3 * first["reconstruction_mse"]
    assert again["prior_nats"] < 0.5 * again["marginal_nats"]


def test_the_same_seed_gives_the_same_fit_and_torchs_global_generator_is_left_alone():
    memory = Memory(squares(6, 0)[0])
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        vqvae = VQVAE(SPACE, seed=7, **QUICK)
        metrics = fit(vqvae, memory)
        results.append((vqvae.encode({"image": memory.read("image", np.arange(9))}), vqvae.prior(3, np.random.default_rng(0)), metrics))
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert results[0][2] == results[1][2]


@pytest.mark.parametrize(
    "images", [np.full((20, SIZE, SIZE, 3), 128, np.uint8), squares(1, 0)[0], squares(1, 0)[0][:3], squares(1, 0)[0][:1]]
)
def test_identical_frames_one_episode_and_fewer_frames_than_a_batch_can_be_fitted(images):
    vqvae = VQVAE(SPACE, seed=0, **QUICK | {"first_steps": 45})
    memory = Memory(images)
    for first in (True, False):
        assert np.isfinite(list(fit(vqvae, memory, first=first).values())).all()
    latents = vqvae.encode({"image": images})
    assert np.isfinite(latents).all()
    assert np.isfinite(vqvae.outcomes(latents, np.random.default_rng(0))).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"key": "imgae"}, "did you mean 'image'"),
        ({"key": "achieved_goal"}, "uint8"),
        ({"codes": 1}, "codes = 1"),
        ({"code_dim": 0}, "code_dim = 0"),
        ({"downsample": 3}, "downsample = '3'"),
        ({"commitment": -1.0}, "commitment"),
        ({"prior_steps": -1}, "prior_steps = -1"),
        ({"temperature": 0.0}, "temperature"),
        ({"lr": float("nan")}, "lr"),
        ({"colour_weight": 0.0}, "colour_weight"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(UserError, match=words):
        VQVAE(SPACE, seed=0, **arguments)


@pytest.mark.parametrize("part", ["networks", "prior", "starts"])
def test_altered_state_is_refused_by_name(part):
    state = VQVAE(SPACE, seed=0, **QUICK).state_dict()
    del state[part]
    with pytest.raises(UserError, match=part):
        VQVAE(SPACE, seed=0, **QUICK).load_state_dict(state)
