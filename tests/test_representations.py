"""Representations: what the latent keeps, that its distance follows the picture, and that its bits do not depend on company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from envs.errors import UserError
from representations.api import Experience, Representation
from representations.context_vae import ContextVAE
from representations.contrastive import Contrastive
from representations.elbo import kl_to_unit
from representations.holdout import HoldOut
from representations.identity import Identity
from representations.pca import PCA
from representations.probe import probe
from representations.temporal import Temporal
from representations.vae import VAE
from representations.vqvae import VQVAE

SIZE = 32
SPACE = spaces.Dict({"image": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8), "achieved_goal": spaces.Box(-9.0, 9.0, (2,))})


class Memory:
    """An experience of given columns, in episodes of `steps` steps."""

    def __init__(self, steps: int = 9, **columns: np.ndarray) -> None:
        self._columns, self._steps = columns, steps
        self.size = len(next(iter(columns.values())))

    def sample_rows(self, n, generator):
        return generator.integers(self.size, size=n)

    def read(self, key, rows):
        return self._columns[key][rows]

    def episodes(self):
        first = np.arange(0, self.size, self._steps + 1)
        return first, np.minimum(self._steps, self.size - first - 1)


def bars(positions, size=SIZE):
    """Draw a wide blue bar at `positions` (n, 2)[:, 0] and a 2-pixel red dot at height `positions`[:, 1], both in [0, 1]."""
    across, down = np.meshgrid(np.arange(size) / size, np.arange(size) / size)
    images = np.full((len(positions), size, size, 3), 200, np.uint8)
    for image, (bar, dot) in zip(images, positions):
        image[np.abs(across - bar) < 0.15] = [40, 60, 180]
        image[(np.abs(across - 0.9) < 1 / size) & (np.abs(down - dot) < 1.5 / size)] = [220, 30, 30]
    return images


@pytest.fixture(scope="module")
def memory():
    generator = np.random.default_rng(0)
    positions = np.clip(np.cumsum(generator.normal(size=(40, 10, 2)) * 0.05, axis=1) + generator.random((40, 1, 2)), 0, 1).reshape(-1, 2)
    return Memory(image=bars(positions), achieved_goal=positions.astype(np.float32))


def draw_from(memory, seed=0):
    generator = np.random.default_rng(seed)
    return lambda n: memory.sample_rows(n, generator)


@pytest.fixture(scope="module")
def trained(memory):
    vae = VAE(SPACE, seed=3, device="cpu", latent_dim=4, first_steps=300, refit_steps=20)
    metrics = vae.fit(memory, draw_from(memory), np.random.default_rng(1), first=True)
    return vae, metrics


def copy_of(vae, **changes):
    twin = VAE(SPACE, seed=9, device="cpu", **{"latent_dim": 4, "first_steps": 300, "refit_steps": 20, **changes})
    twin.load_state_dict(vae.state_dict())
    return twin


def test_every_representation_satisfies_the_protocol(memory):
    assert isinstance(memory, Experience)
    for kind in (Identity, PCA, VAE, ContextVAE, VQVAE, Temporal, Contrastive):
        made = kind(SPACE, seed=0, device="cpu")
        assert isinstance(made, Representation)
        latents = made.encode({key: memory.read(key, np.arange(7)) for key in made.keys})
        assert latents.shape == (7, made.latent_dim)
        assert latents.dtype == np.float32


# identity


@given(arrays.arrays(np.float32, (5, 2), elements=st.floats(-100, 100, width=32, allow_subnormal=False)))
def test_identity_scales_and_decodes_back(states):
    identity = Identity(SPACE, seed=0, device="cpu", scale=[2.0, 0.5], dims=[1, 0])
    latents = identity.encode({"achieved_goal": states})
    np.testing.assert_allclose(latents, states[:, ::-1] * [2.0, 0.5], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(identity.decode_state(latents), states, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keys": ["achieved_gaol"]}, "did you mean 'achieved_goal'"),
        ({"dims": [2]}, "0 to 1"),
        ({"scale": [1.0]}, "2 finite factors"),
        ({"scale": [1.0, 0.0]}, "other than 0"),
    ],
)
def test_identity_names_bad_arguments(arguments, words):
    with pytest.raises(UserError, match=words):
        Identity(SPACE, seed=0, device="cpu", **arguments)


def test_identity_that_dropped_entries_cannot_be_decoded():
    with pytest.raises(UserError, match="keeps 1 of 2"):
        Identity(SPACE, seed=0, device="cpu", dims=[0]).decode_state(np.zeros((1, 1), np.float32))


# principal components


@pytest.mark.parametrize("downsample", [1, 2])
def test_unwhitened_components_keep_the_distance_between_pictures(memory, downsample):
    pca = PCA(SPACE, seed=0, device="cpu", latent_dim=20, downsample=downsample)
    metrics = pca.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
    assert metrics["explained_variance"] > 0.9
    images = memory.read("image", np.arange(0, 200, 5))
    latents = pca.encode({"image": images})
    pictures = images.reshape(len(images), -1) / 255.0
    of_pictures = np.linalg.norm(pictures[:, None] - pictures, axis=2)
    of_latents = np.linalg.norm(latents[:, None] - latents, axis=2)
    far = of_pictures > 5
    ratio = of_latents[far] / of_pictures[far]
    assert ratio.mean() > 0.9
    assert ratio.max() < 1.001


def test_decoded_pictures_resemble_the_frames(memory):
    pca = PCA(SPACE, seed=0, device="cpu", latent_dim=20, downsample=1)
    metrics = pca.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
    images = memory.read("image", np.arange(50))
    decoded = pca.decode(pca.encode({"image": images}))
    assert decoded.shape == images.shape
    assert decoded.dtype == np.uint8
    assert np.square((decoded.astype(float) - images) / 255).mean() < 0.1 * (images / 255).var(axis=0).mean()
    assert metrics["reconstruction_mse"] < 0.1 * (images / 255).var(axis=0).mean()


def test_whitening_gives_every_component_unit_variance(memory):
    pca = PCA(SPACE, seed=0, device="cpu", whiten=True)
    pca.fit(memory, lambda n: np.arange(n), np.random.default_rng(0), first=True)
    rows = HoldOut(memory).drop(np.arange(memory.size))
    np.testing.assert_allclose(pca.encode({"image": memory.read("image", rows)}).std(axis=0), 1.0, atol=0.02)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_components_survive_few_or_identical_frames(count):
    for images in (bars(np.full((count, 2), 0.5)), bars(np.linspace(0, 1, 2 * count).reshape(count, 2))):
        memory = Memory(steps=count - 1, image=images)
        pca = PCA(SPACE, seed=0, device="cpu", whiten=True)
        metrics = pca.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
        assert np.isfinite(list(metrics.values())).all()
        assert np.isfinite(pca.encode({"image": images})).all()


def test_odd_sizes_decode_to_their_own_size():
    space = spaces.Dict({"image": spaces.Box(0, 255, (21, 35, 3), np.uint8)})
    images = np.random.default_rng(0).integers(0, 255, (30, 21, 35, 3), dtype=np.uint8)
    memory = Memory(image=images)
    for made in (PCA(space, seed=0, device="cpu"), VAE(space, seed=0, device="cpu", first_steps=2)):
        made.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
        assert made.decode(made.encode({"image": images})).shape == images.shape


# the variational autoencoder


def test_the_vae_reconstructs_held_out_frames(trained, memory):
    _, metrics = trained
    variance = (memory.read("image", np.arange(memory.size)) / 255).var(axis=0).mean()
    assert metrics["reconstruction_mse"] < 0.4 * variance
    assert metrics["fit_steps"] >= 250
    assert metrics["kl_nats"] > 5


def test_scaled_latent_distance_follows_the_distance_between_pictures(trained, memory):
    vae, _ = trained
    images = memory.read("image", np.arange(0, 400, 4))
    latents = vae.encode({"image": images})
    decoded = vae.decode(latents).reshape(len(images), -1) / 255.0
    near, pictures = [], []
    generator = np.random.default_rng(0)
    for latent, picture in zip(latents, decoded):
        moved = latent + generator.normal(size=4).astype(np.float32) * 0.5
        near.append(np.linalg.norm(moved - latent))
        pictures.append(np.linalg.norm(vae.decode(moved[None]).ravel() / 255.0 - picture))
    assert 0.5 < np.median(np.array(pictures) / np.array(near)) < 2.0
    table = {row.factor: row for row in probe(latents, memory.read("achieved_goal", np.arange(0, 400, 4)), ["bar", "dot"], generator)}
    assert table["bar"].spearman > 0.7


def test_latents_of_feature_points_are_linear_in_where_a_small_thing_is():
    generator = np.random.default_rng(0)
    corners = generator.integers(0, SIZE - 6, (900, 2))
    images = np.full((900, SIZE, SIZE, 3), 230, np.uint8)
    for image, (y, x) in zip(images, corners):
        image[y : y + 6, x : x + 6] = [200, 30, 30]
    seen = Memory(image=images[:600], achieved_goal=corners[:600].astype(np.float32))
    r2 = {}
    for encoder in ("conv", "points"):
        vae = VAE(SPACE, seed=0, device="cpu", latent_dim=4, beta=0.01, first_steps=250, centre=True, encoder=encoder)
        vae.fit(seen, draw_from(seen), np.random.default_rng(0), first=True)
        found = probe(vae.encode({"image": images[600:]}), corners[600:].astype(np.float32), ["y", "x"], generator)
        r2[encoder] = [row.r2 for row in found]
    assert min(r2["points"]) > max(0.9, *r2["conv"]), r2


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 8), st.integers(9, 300), st.integers(0, 2**31))
def test_a_rows_bits_do_not_depend_on_the_company_it_is_encoded_in(few, many, seed):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 255, (many, SIZE, SIZE, 3), dtype=np.uint8)
    for made in BIT_STABLE:
        alone = made.encode({"image": images[:1]})
        np.testing.assert_array_equal(made.encode({"image": images[:few]})[:1], alone)
        at = int(generator.integers(few))
        np.testing.assert_array_equal(made.encode({"image": images[:few]})[at], made.encode({"image": images[at : at + 1]})[0])
        whole = made.encode({"image": images})
        part = generator.permutation(many)[: int(generator.integers(9, many + 1))]
        np.testing.assert_array_equal(made.encode({"image": images[part]}), whole[part])


BIT_STABLE = [VAE(SPACE, seed=0, device="cpu"), VAE(SPACE, seed=0, device="cpu", encoder="points"), PCA(SPACE, seed=0, device="cpu")]


def test_a_refit_goes_on_from_the_present_weights(trained, memory):
    vae, first = trained
    refitted = copy_of(vae)
    again = refitted.fit(memory, draw_from(memory, 5), np.random.default_rng(5), first=False)
    assert again["fit_steps"] <= 20
    assert again["reconstruction_mse"] < 1.5 * first["reconstruction_mse"]
    cold = VAE(SPACE, seed=3, device="cpu", latent_dim=4, refit_steps=20)
    assert (
        cold.fit(memory, draw_from(memory, 5), np.random.default_rng(5), first=False)["reconstruction_mse"]
        > 2 * again["reconstruction_mse"]
    )


def test_a_restored_vae_goes_on_bit_for_bit(trained, memory):
    vae, _ = trained
    twins = [copy_of(vae), copy_of(copy_of(vae))]
    for twin in twins:
        twin.fit(memory, draw_from(memory, 5), np.random.default_rng(5), first=False)
    images = {"image": memory.read("image", np.arange(20))}
    np.testing.assert_array_equal(twins[0].encode(images), twins[1].encode(images))
    assert not np.array_equal(twins[0].encode(images), vae.encode(images))


def test_the_same_seed_gives_the_same_fit_and_torchs_global_generator_is_left_alone(memory):
    latents = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        vae = VAE(SPACE, seed=7, device="cpu", first_steps=5)
        vae.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
        latents.append(vae.encode({"image": memory.read("image", np.arange(9))}))
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(latents[0], latents[1])


def test_the_importance_estimate_bounds_the_elbo_and_tightens_with_samples(trained, memory):
    vae, _ = trained
    images = {"image": memory.read("image", np.arange(0, 200, 4))}
    elbo = copy_of(vae, estimator="elbo", samples=50).log_prob(images, np.random.default_rng(0))
    few = copy_of(vae, samples=2).log_prob(images, np.random.default_rng(0))
    many = copy_of(vae, samples=50).log_prob(images, np.random.default_rng(0))
    assert elbo.mean() < few.mean() < many.mean()
    # on the very same latents the log of a mean is no less than the mean of the logs, picture by picture
    assert (many >= elbo - 1e-2).all()


def test_noise_is_less_likely_than_the_frames_that_were_learned(trained, memory):
    vae, _ = trained
    frames = memory.read("image", np.arange(50))
    noise = np.random.default_rng(0).integers(0, 255, frames.shape, dtype=np.uint8)
    log = vae.log_prob({"image": np.concatenate([frames, noise])}, np.random.default_rng(0))
    assert log[:50].min() > log[50:].max()


def test_weighted_draws_decide_what_is_learned(memory):
    errors = []
    common = np.flatnonzero(memory.read("achieved_goal", np.arange(memory.size))[:, 0] < 0.3)
    rare = np.flatnonzero(memory.read("achieved_goal", np.arange(memory.size))[:, 0] > 0.7)
    for pool in (common, rare):
        vae = VAE(SPACE, seed=0, device="cpu", latent_dim=4, first_steps=120)
        generator = np.random.default_rng(0)
        vae.fit(memory, lambda n, pool=pool, generator=generator: generator.choice(pool, n), np.random.default_rng(0), first=True)
        images = memory.read("image", rare)
        errors.append(np.square((vae.decode(vae.encode({"image": images})).astype(float) - images) / 255).mean())
    assert errors[1] < 0.5 * errors[0]


def test_the_prior_has_the_moments_of_the_codes(trained, memory):
    vae, _ = trained
    codes = vae.encode({"image": memory.read("image", np.arange(memory.size))})
    imagined = vae.prior(4000, np.random.default_rng(0))
    spread = codes.std(axis=0)
    assert (np.abs(imagined.mean(axis=0) - codes.mean(axis=0)) < 0.25 * spread).all()
    np.testing.assert_allclose(np.corrcoef(imagined.T), np.corrcoef(codes.T), atol=0.2)
    np.testing.assert_allclose(imagined.std(axis=0), spread, rtol=0.25)


def test_imagined_latents_decode_to_pictures(trained):
    vae, _ = trained
    latents = vae.prior(6, np.random.default_rng(0))
    assert latents.shape == (6, 4)
    assert vae.decode(latents).shape == (6, SIZE, SIZE, 3)
    assert vae.decode(latents[:0]).shape == (0, SIZE, SIZE, 3)


def test_kl_is_the_closed_form():
    from torch.distributions import Normal, kl_divergence

    means, log_variances = torch.randn(9, 4), torch.randn(9, 4)
    truth = kl_divergence(Normal(means, (0.5 * log_variances).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_unit(means, log_variances), truth)


def test_one_identical_frame_can_be_fitted():
    memory = Memory(image=bars(np.full((10, 2), 0.4)))
    vae = VAE(SPACE, seed=0, device="cpu", latent_dim=1, first_steps=5)
    metrics = vae.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
    assert np.isfinite(list(metrics.values())).all()
    assert np.isfinite(vae.encode({"image": memory.read("image", np.arange(10))})).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"key": "imgae"}, "did you mean 'image'"),
        ({"key": "achieved_goal"}, "uint8"),
        ({"latent_dim": 0}, "latent_dim = 0"),
        ({"beta": -1.0}, "beta"),
        ({"estimator": "elbow"}, "did you mean 'elbo'"),
        ({"lr": 0.0}, "lr"),
    ],
)
def test_the_vae_names_bad_arguments(arguments, words):
    with pytest.raises(UserError, match=words):
        VAE(SPACE, seed=0, device="cpu", **arguments)


@pytest.mark.parametrize("damage", ["missing", "misshapen", "extra"])
def test_altered_weights_are_refused_by_name(trained, damage):
    state = trained[0].state_dict()
    name = next(iter(state["networks"]))
    if damage == "missing":
        del state["networks"][name]
    elif damage == "misshapen":
        state["networks"][name] = state["networks"][name][:1]
    else:
        state["networks"]["encoder.stranger"] = torch.zeros(1)
        name = "encoder.stranger"
    with pytest.raises(UserError, match=name):
        copy_of(trained[0]).load_state_dict(state)


# held-out frames


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**31))
def test_held_out_episodes_are_whole_and_never_trained_on(episodes, steps, seed):
    count = episodes * (steps + 1)
    memory = Memory(steps=steps, achieved_goal=np.zeros((count, 1)))
    held_out = HoldOut(memory)
    rows = held_out.rows(np.random.default_rng(seed))
    assert 0 < len(rows) <= 1024
    assert len(np.unique(rows)) == len(rows)
    kept = held_out.drop(np.arange(count))
    assert not np.isin(rows, kept).any()
    if episodes > 1:
        assert not np.isin(kept // (steps + 1), rows // (steps + 1)).any()
    # nothing else to train on: better to train on held-out rows than not at all
    assert len(held_out.drop(rows)) == len(rows)
