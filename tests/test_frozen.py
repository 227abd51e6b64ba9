"""Frozen features: components of what a network on disk makes of pictures, and all that can be wrong with that network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maze_cases import CELLS, SIZE, SPACE, distances, pictures, walked
from safetensors.torch import save_file
from test_representations import Memory, draw_from
from torch import nn

from envs.errors import UserError
from representations.api import Representation
from representations.frozen import Frozen


@pytest.fixture(scope="module")
def memory():
    return walked()


class Features(nn.Module):
    """Two convolutions; `output` says what is made of them."""

    def __init__(self, width=6, output="maps"):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 5, stride=3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, stride=3)
        )
        self.output = output

    def forward(self, pictures):
        maps = self.layers(pictures)
        made = {"tuple": (maps, maps), "mean": maps.mean(), "integers": maps.flatten(1).long(), "nan": maps * torch.nan, "one": maps[:1]}
        return made.get(self.output, maps)


class Told:
    """No network."""


MODULE = f"{__name__}:Features"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "features.safetensors"
    torch.manual_seed(0)
    module = Features()
    with torch.no_grad():
        module(torch.rand(64, 3, SIZE, SIZE))  # running statistics other than zero and one
    save_file(module.state_dict(), path)
    return path


def frozen(path, **arguments):
    return Frozen(SPACE, device="cpu", path=str(path), **{"module": MODULE, **arguments})


def features_of(path, images):
    from safetensors.torch import load_file

    module = Features()
    module.load_state_dict(load_file(path))
    with torch.no_grad():
        return module.eval()(torch.as_tensor(images).permute(0, 3, 1, 2) / 255.0).flatten(1).numpy()


def test_frozen_distance_is_that_of_the_modules_features_up_to_one_factor(memory, weights):
    made = frozen(weights, latent_dim=54)  # of 6 x 3 x 3 features, so that nothing is lost
    assert isinstance(made, Representation)
    metrics = made.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
    assert metrics["explained_variance"] == pytest.approx(1.0, abs=1e-3)
    assert metrics["held_out_explained_variance"] == pytest.approx(1.0, abs=1e-3)
    images = pictures(CELLS)
    ratio = distances(made.encode({"image": images})) / distances(features_of(weights, images))
    assert ratio.max() < 1.02 * ratio.min()
    seen = made.encode({"image": memory.read("image", np.arange(memory.size))})
    assert np.square(seen.std(axis=0)).mean() == pytest.approx(1.0, rel=0.1)


def test_more_components_keep_more_and_the_module_stays_as_it_was(memory, weights):
    made = frozen(weights, latent_dim=4)
    before = [weight.clone() for weight in made._module.state_dict().values()]
    few, more = (one.fit(memory, draw_from(memory), np.random.default_rng(0), first=True) for one in (made, frozen(weights, latent_dim=16)))
    assert 0.3 < few["held_out_explained_variance"] < more["held_out_explained_variance"] < 1.0
    assert all(torch.equal(one, other) for one, other in zip(before, made._module.state_dict().values()))
    assert made.encode({"image": pictures(CELLS)}).shape == (len(CELLS), 4)


def test_pictures_are_resized_and_normalised_before_the_module_sees_them(weights):
    made = frozen(weights, resize=16, mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 2.0], latent_dim=2)
    seen = []
    made._module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    made.encode({"image": np.full((9, SIZE, SIZE, 3), 255, np.uint8)})
    assert all(part.shape[1:] == (3, 16, 16) for part in seen)
    np.testing.assert_allclose(seen[0][0, :, 0, 0], [1.8, 1.6, 0.35], rtol=1e-5)


def test_frozen_is_restored_bit_for_bit_and_refuses_other_weights(memory, weights, tmp_path):
    made, twin = frozen(weights), frozen(weights)
    made.fit(memory, draw_from(memory), np.random.default_rng(0), first=True)
    images = {"image": pictures(CELLS)}
    assert not np.array_equal(made.encode(images), twin.encode(images))
    twin.load_state_dict(made.state_dict())
    np.testing.assert_array_equal(made.encode(images), twin.encode(images))
    for one in (made, twin):
        one.fit(memory, draw_from(memory, 3), np.random.default_rng(3), first=False)
    np.testing.assert_array_equal(made.encode(images), twin.encode(images))
    save_file(Features().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not the one that the saved state"):
        frozen(tmp_path / "other.safetensors").load_state_dict(made.state_dict())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_frozen_survives_few_or_identical_frames(weights, count):
    for images in (pictures(np.zeros((count, 2), np.int64)), pictures(CELLS[:count])):
        few = Memory(steps=count - 1, image=images)
        made = frozen(weights)
        metrics = made.fit(few, draw_from(few), np.random.default_rng(0), first=True)
        assert np.isfinite(list(metrics.values())).all()
        assert np.isfinite(made.encode({"image": images})).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": ""}, "path = ''; expected a .safetensors file"),
        ({"path": "net.pt"}, "net.pt'; expected a .safetensors file"),
        ({"path": "none.safetensors"}, "there is no file none.safetensors"),
        ({"module": ""}, "module = ''; expected the class"),
        ({"module": "nowhere:Net"}, "cannot import nowhere"),
        ({"module": f"{__name__}:Featrues"}, "did you mean 'Features'"),
        ({"module": f"{__name__}:Told"}, "is no torch.nn.Module"),
        ({"arguments": {"depth": 3}}, "Features.depth=3. fails: TypeError"),
        ({"arguments": {"width": 7}}, "layers.0.weight' in the saved state of Frozen"),
        ({"arguments": {"output": "tuple"}}, "returns a tuple"),
        ({"arguments": {"output": "mean"}}, r"returns a torch.float32 tensor \(\)"),
        ({"arguments": {"output": "one"}}, r"tensor \(1, 6, 3, 3\) for 2 pictures"),
        ({"arguments": {"output": "integers"}}, "returns a torch.int64 tensor"),
        ({"resize": 4}, r"fails on pictures \(2, 3, 4, 4\): RuntimeError.*another resize"),
        ({"latent_dim": 55}, "latent_dim = 55.*yields 54 features"),
        ({"mean": [0.5]}, "mean = .0.5.; expected 3 finite numbers"),
        ({"std": [1.0, 0.0, 1.0]}, "expected numbers above 0"),
        ({"key": "achieved_goal"}, "uint8"),
        ({"frames": 1}, "frames = 1"),
    ],
)
def test_frozen_names_what_is_wrong(weights, arguments, words):
    with pytest.raises(UserError, match=words):
        frozen(**{"path": weights, **arguments})


def test_missing_and_foreign_weights_are_named(weights, tmp_path):
    state = Features().state_dict()
    save_file({name: value for name, value in state.items() if name != "layers.3.bias"}, tmp_path / "less.safetensors")
    save_file(state | {"head.weight": torch.zeros(2)}, tmp_path / "more.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights at all")
    for name, words in (("less", "has no 'layers.3.bias'"), ("more", "unknown weight 'head.weight'"), ("broken", "cannot read")):
        with pytest.raises(UserError, match=words):
            frozen(tmp_path / f"{name}.safetensors")


def test_features_that_are_not_finite_stop_the_fit(memory, weights):
    with pytest.raises(FloatingPointError, match="not finite"):
        frozen(weights, arguments={"output": "nan"}).fit(memory, draw_from(memory), np.random.default_rng(0), first=True)


def test_half_precision_weights_are_read(weights, tmp_path):
    state = {name: value.bfloat16() if value.is_floating_point() else value for name, value in Features().state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    latents = frozen(tmp_path / "half.safetensors").encode({"image": pictures(CELLS)})
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
