"""The flow density: exact, close to densities of odd shapes, and never degenerate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from envs.errors import UserError
from goal_samplers.api import Density, GoalContext
from goal_samplers.densities.flow import Flow
from representations.identity import Identity


class Memory:
    """An experience of given columns, one episode."""

    def __init__(self, **columns: np.ndarray) -> None:
        self._columns = columns
        self.size = len(next(iter(columns.values())))

    def sample_rows(self, n, generator):
        return generator.integers(self.size, size=n)

    def read(self, key, rows):
        return self._columns[key][rows]

    def episodes(self):
        return np.zeros(1, np.int64), np.array([self.size - 1])


def context_of(points, seed=0):
    points = np.asarray(points, np.float32)
    identity = Identity(spaces.Dict({"achieved_goal": spaces.Box(-np.inf, np.inf, points.shape[1:])}), seed=0, device="cpu")
    return GoalContext(Memory(achieved_goal=points, latent=points), identity, np.random.default_rng(seed))


def uniform_draw(context):
    return lambda n: context.experience.sample_rows(n, context.generator)


def fitted(density, points, seed=0):
    context = context_of(points, seed)
    density.fit(context, uniform_draw(context))
    return density


def score(density, points):
    context = context_of(points)
    return density.log_prob(context.experience, np.arange(len(points)), context.generator).astype(np.float64)


def moons(n, seed):
    generator = np.random.default_rng(seed)
    angle, lower = generator.uniform(0, np.pi, n), generator.random(n) < 0.5
    points = np.stack([np.where(lower, 1 - np.cos(angle), np.cos(angle)), np.where(lower, 0.5 - np.sin(angle), np.sin(angle))], axis=1)
    return 5.0 * (points + generator.normal(size=points.shape) * 0.1) + [3.0, -20.0]


def mixture(n, width, seed):
    """Return samples of two Gaussians in `width` dimensions and their true log densities."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(n, width)) * 0.4 + np.where(generator.random(n) < 0.3, -2.0, 2.0)[:, None]
    logs = [np.log(share) + stats.norm(mean, 0.4).logpdf(points).sum(axis=1) for share, mean in ((0.3, -2.0), (0.7, 2.0))]
    return points, np.logaddexp(*logs)


def gaussian_score(train, test):
    return stats.multivariate_normal(train.mean(axis=0), np.cov(train.T)).logpdf(test).mean()


@pytest.fixture(scope="module")
def of_moons():
    return fitted(Flow(steps=500), moons(4000, 0))


def test_it_satisfies_the_protocol():
    assert isinstance(Flow(), Density)
    assert Flow().key == "latent"


def test_two_moons_are_far_likelier_than_under_a_gaussian(of_moons):
    test = moons(2000, 1)
    assert score(of_moons, test).mean() > gaussian_score(moons(4000, 0), test) + 0.5


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_mixture_is_recovered_in_one_and_in_more_dimensions(width):
    train, _ = mixture(4000, width, 0)
    test, truth = mixture(2000, width, 1)
    logs = score(fitted(Flow(), train), test)
    assert logs.mean() > gaussian_score(train, test) + 0.4
    assert truth.mean() - 0.35 < logs.mean() < truth.mean() + 0.02
    assert stats.spearmanr(logs, truth).statistic > 0.7


def test_the_density_integrates_to_one(of_moons):
    data = moons(4000, 0)
    low, high = data.min(axis=0) - 6, data.max(axis=0) + 6
    axes = [np.linspace(a, b, 300) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    assert np.exp(score(of_moons, grid)).sum() * np.prod((high - low) / 299) == pytest.approx(1.0, abs=0.02)
    line = np.linspace(-8, 8, 2001)[:, None]
    one = fitted(Flow(steps=100), mixture(2000, 1, 0)[0])
    assert np.exp(score(one, line)).sum() * 16 / 2000 == pytest.approx(1.0, abs=0.01)


def test_samples_have_the_density_that_it_states(of_moons):
    samples = of_moons.sample(20_000, np.random.default_rng(0))
    assert samples.dtype == np.float32
    data = moons(4000, 0)
    edges = [np.linspace(data[:, at].min(), data[:, at].max(), 13) for at in range(2)]
    counted = np.histogram2d(*samples.T, bins=edges)[0] / len(samples)
    fine = [np.linspace(edge[0], edge[-1], 241) for edge in edges]
    middle = [(edge[1:] + edge[:-1]) / 2 for edge in fine]
    mass = np.exp(score(of_moons, np.stack(np.meshgrid(*middle, indexing="ij"), axis=-1).reshape(-1, 2)))
    mass = mass.reshape(12, 20, 12, 20).sum(axis=(1, 3)) * np.prod([edge[1] - edge[0] for edge in fine])
    assert np.abs(counted - mass).sum() < 0.06
    truth = np.histogram2d(*moons(20_000, 1).T, bins=edges)[0] / 20_000
    gaussian = np.random.default_rng(0).multivariate_normal(data.mean(axis=0), np.cov(data.T), 20_000)
    of_gaussian = np.histogram2d(*gaussian.T, bins=edges)[0] / 20_000
    assert np.abs(counted - truth).sum() < 0.5 * np.abs(of_gaussian - truth).sum()


def test_the_inverse_undoes_the_flow_and_its_volume_is_the_jacobians(of_moons):
    generator = np.random.default_rng(0)
    for network in (of_moons._networks, fitted(Flow(steps=50), mixture(500, 5, 0)[0])._networks):
        width = network.curves.widths.shape[0]
        z = torch.as_tensor(generator.normal(size=(200, width)) * 2, dtype=torch.float32)
        with torch.no_grad():
            x = network.inverse(z)
        for point, back in zip(z[:20].double(), x[:20].double()):
            network = network.double()
            jacobian = torch.autograd.functional.jacobian(lambda v, network=network: network.inverse(v[None])[0], point)
            expected = stats.norm.logpdf(point.numpy()).sum() - float(torch.linalg.slogdet(jacobian)[1])
            with torch.no_grad():
                again = network.inverse(point[None])
                assert float(network.log_prob(again)[0]) == pytest.approx(expected, abs=1e-3)
            assert torch.allclose(again[0], back, atol=1e-2)
        network.float()


@pytest.mark.parametrize("points", [np.zeros((50, 2)), np.arange(10.0)[:, None], np.ones((1, 1)), np.random.default_rng(0).random((3, 6))])
def test_degenerate_data_gives_finite_densities_and_samples(points):
    density = fitted(Flow(steps=60, batch_size=64), points)
    assert np.isfinite(score(density, points)).all()
    assert np.isfinite(density.sample(5, np.random.default_rng(0))).all()
    assert np.isfinite(score(density, points + 1e4)).all()


def test_a_constant_column_neither_blurs_the_others_nor_varies_in_samples():
    points = np.concatenate([mixture(3000, 1, 0)[0], np.full((3000, 1), 7.0)], axis=1)
    density = fitted(Flow(), points)
    rare, common = [[0.0, 7.0]], [[2.0, 7.0]]
    assert score(density, common)[0] > score(density, rare)[0] + 1.5
    samples = density.sample(500, np.random.default_rng(0))
    np.testing.assert_allclose(samples[:, 1].mean(), 7.0, atol=0.1)
    assert samples[:, 1].std() < 0.2


def test_a_restored_density_scores_samples_and_refits_as_the_original():
    points = mixture(400, 3, 0)[0]
    density, twin = fitted(Flow(steps=20), points), Flow(steps=20)
    twin.load_state_dict(density.state_dict())
    for step in range(2):
        np.testing.assert_array_equal(score(density, points), score(twin, points))
        np.testing.assert_array_equal(density.sample(9, np.random.default_rng(step)), twin.sample(9, np.random.default_rng(step)))
        fitted(density, points, seed=step)
        fitted(twin, points, seed=step)


def test_the_same_seed_gives_the_same_density_and_torchs_global_generator_is_left_alone():
    points = mixture(400, 2, 0)[0]
    before = torch.get_rng_state()
    logs = [score(fitted(Flow(steps=20), points, seed=seed), points) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(logs[0], logs[1])
    assert not np.array_equal(logs[0], logs[2])


def test_it_reads_the_key_it_is_given_and_refuses_pictures():
    memory = Memory(achieved_goal=np.zeros((40, 3), np.float32), image=np.zeros((40, 8, 8, 3), np.uint8))
    context = GoalContext(memory, context_of(np.zeros((1, 1))).representation, np.random.default_rng(0))
    density = Flow(key="achieved_goal", steps=5)
    density.fit(context, uniform_draw(context))
    assert density.sample(2, np.random.default_rng(0)).shape == (2, 3)
    with pytest.raises(UserError, match="pictures"):
        Flow(key="image").fit(context, uniform_draw(context))


def test_an_unfitted_one_restores_as_unfitted():
    density = Flow()
    density.load_state_dict(density.state_dict())
    with pytest.raises(UserError, match="fit"):
        density.sample(1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"couplings": -1}, "couplings = -1"),
        ({"bins": 0}, "bins = 0"),
        ({"bins": 500}, "at most 100"),
        ({"steps": 0}, "steps = 0"),
        ({"noise": 0.0}, "noise = 0"),
        ({"lr": float("nan")}, "lr = nan"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(UserError, match=words):
        Flow(**arguments)


def test_altered_state_is_refused_in_one_line():
    state = fitted(Flow(steps=5), mixture(50, 2, 0)[0]).state_dict()
    del state["networks"]["curves.widths"]
    with pytest.raises(UserError, match=r"curves\.widths"):
        Flow().load_state_dict(state)
