"""`gcrl check` of representations: ours keep the contract, wrong ones are told their own fault; `gcrl new` writes ones that keep it."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.conformance import check_env
from envs.errors import UserError
from gcrl import cli
from gcrl.check import check
from gcrl.new import KINDS, new
from representations.conformance import CHECKS, check_representation, run_checks
from representations.identity import Identity
from representations.pca import PCA

FEW = ["first_steps=20", "refit_steps=5"]
QUICK = {
    "vae": [*FEW, "latent_dim=3"],
    "context_vae": [*FEW, "z_dim=2", "scene_dim=2"],
    "vqvae": [*FEW, "codes=16", "prior_steps=10", "prior_refit_steps=5", "prior_width=8", "hidden=8"],
    "temporal": [*FEW, "hidden=[16]"],
    "contrastive": [*FEW, "hidden=[16]"],
    "gcb": [*FEW, "hidden=[16]"],
    "lossy": [*FEW, "hidden=[16]"],
    "identity": [],
    "pca": [],
    "pixels": [],
}


@pytest.mark.parametrize("choice", QUICK)
def test_every_representation_of_ours_keeps_the_contract(capsys: pytest.CaptureFixture[str], choice: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", f"representation={choice}", *QUICK[choice]])
    out = capsys.readouterr().out
    assert ended.value.code == 0, out
    assert len(out.splitlines()) == len(CHECKS) + 1


class NoFit:
    keys, latent_dim, cache, needs_fit = ("image",), 3, "frame", False

    def encode(self, observations: Any, context: Any = None) -> Any:
        return observations["image"].mean(axis=(1, 2)).astype(np.float32)


class Whatever(PCA):
    cache = "always"  # type: ignore[assignment]


class Elsewhere(Identity):
    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space)
        self.keys = ("camera",)


class Doubles(Identity):
    def encode(self, observations: Any, context: Any = None) -> Any:
        return super().encode(observations, context).astype(np.float64)


class Constant(Identity):
    def encode(self, observations: Any, context: Any = None) -> Any:
        return np.zeros_like(super().encode(observations, context))


class NotNumbers(PCA):
    def encode(self, observations: Any, context: Any = None) -> Any:
        latents = super().encode(observations, context)
        latents[0] = np.nan
        return latents


class Centres(Identity):
    """Standardises by whatever happens to be in the batch."""

    def encode(self, observations: Any, context: Any = None) -> Any:
        latents = super().encode(observations, context)
        return latents - latents.mean(axis=0)


class Writes(PCA):
    def encode(self, observations: Any, context: Any = None) -> Any:
        images = observations["image"]
        images //= 2
        return super().encode({"image": images}, context)


class OwnDice(PCA):
    def fit(self, experience: Any, draw: Any, generator: Any, *, first: bool) -> Any:
        return super().fit(experience, lambda n: np.random.default_rng().permutation(draw(100))[:50], generator, first=first)


class Draws(PCA):
    library = "numpy"

    def fit(self, experience: Any, draw: Any, generator: Any, *, first: bool) -> Any:
        {"numpy": np.random.random, "torch": lambda: torch.rand(1), "random": random.random}[self.library]()
        return super().fit(experience, draw, generator, first=first)


class DrawsTorch(Draws):
    library = "torch"


class Mumbles(PCA):
    def fit(self, experience: Any, draw: Any, generator: Any, *, first: bool) -> Any:
        return super().fit(experience, draw, generator, first=first) | {"loss": float("nan")}


class Divides(PCA):
    def fit(self, experience: Any, draw: Any, generator: Any, *, first: bool) -> Any:
        spread = int(np.ptp(experience.read("image", np.arange(experience.size)), axis=0).max())
        return {"ratio": 1 // spread} | super().fit(experience, draw, generator, first=first)


class Grey(PCA):
    def decode(self, latents: Any) -> Any:
        return super().decode(latents)[..., :1]


class Dreams(PCA):
    def prior(self, n: int, generator: Any) -> Any:
        return np.random.default_rng().normal(size=(n, self.latent_dim))


class OneNumber(PCA):
    def log_prob(self, observations: Any, generator: Any) -> Any:
        return 0.0


class Forgets(PCA):
    def state_dict(self) -> Any:
        return super().state_dict() | {"mean": np.zeros_like(self._mean)}


class Pickles(PCA):
    def state_dict(self) -> Any:
        return super().state_dict() | {"model": object()}


class ForgetsMomentum(PCA):
    """Is restored as it was, but goes on learning otherwise."""

    fits = 0

    def fit(self, experience: Any, draw: Any, generator: Any, *, first: bool) -> Any:
        self.fits += 1
        metrics = super().fit(experience, draw, generator, first=first)
        self._mean = self._mean + np.float32(0.1 * self.fits)
        return metrics


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (lambda space: NoFit(), "contract", "NoFit lacks fit, state_dict"),
        (Whatever, "declares", "cache = 'always'; expected one of frame, episode, never"),
        (Elsewhere, "declares", r"keys = \('camera',\)"),
        (Doubles, "latents", "returned float64"),
        (Constant, "latents", "300 different frames have one and the same latent"),
        (NotNumbers, "latents", "NaN or infinite"),
        (Centres, "company", "another latent when others are encoded with it"),
        (Writes, "reading", "it changed 'image'"),
        (OwnDice, "randomness", "the same generator gave other latents"),
        (Draws, "randomness", "the global generator of numpy.random"),
        (DrawsTorch, "randomness", "the global generator of torch"),
        (Mumbles, "fitting", "'loss': nan"),
        (Divides, "experience", "of identical frames: ZeroDivisionError"),
        (Grey, "pictures", r"uint8 of shape \(7, 16, 16, 1\)"),
        (Dreams, "prior", "the same generator gave other samples"),
        (OneNumber, "density", "log_prob of 11 rows"),
        (Forgets, "state", "encodes otherwise; expected"),
        (ForgetsMomentum, "state", "encodes otherwise after another fit"),
        (Pickles, "state", r"state_dict holds model \(object\)"),
    ],
)
def test_a_wrong_representation_is_told_its_own_fault(make: Any, name: str, words: str) -> None:
    problems = check_representation(make)
    assert any(re.search(words, problem) for problem in problems), problems
    failed = {outcome.name for outcome in run_checks(make) if outcome.problems}
    also = {OwnDice: {"state"}, Writes: {"company", "randomness", "state"}, Centres: {"latents"}}.get(make, set())
    assert name in failed
    assert failed <= {name} | also


def test_a_name_that_is_none_is_one_line() -> None:
    with pytest.raises(UserError, match="did you mean 'vae'"):
        check("representation=vaee")
    with pytest.raises(UserError, match="did you mean 'Writes'"):
        check("test_representation_check:Writs")
    assert check("test_representation_check:Mumbles")["ok"] is False


@pytest.mark.parametrize("kind", ["representation", "env"])
def test_what_is_written_keeps_its_contract_and_its_own_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    assert set(KINDS) == {"sampler", "representation", "env"}
    name = f"my_{kind}"
    said = new(kind, name, tmp_path)
    cls = "".join(part.capitalize() for part in name.split("_"))
    assert f"gcrl check {name}:{cls}" in said
    monkeypatch.syspath_prepend(str(tmp_path))
    report = check(f"{name}:{cls}")
    assert report["ok"], report
    assert report[kind] == f"{name}:{cls}"
    module = __import__(name)
    test = __import__(f"test_{name}")
    for each in [value for key, value in vars(test).items() if key.startswith("test_")]:
        each()
    if kind == "env":
        assert check_env(getattr(module, cls)(gap=0.5)) == []


def test_a_representation_that_was_written_practises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from run_cases import DOOR, finish_steps, settings

    from gcrl.practice import Practice

    new("representation", "coarse", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = [text for text in DOOR if not text.startswith("representation.")]
    run = Practice(settings([*given, "representation=coarse:Coarse", "representation.cells=3"], tmp_path / "run"))
    finish_steps(run)
    assert run.learner.representation.latent_dim == 27
    assert run.learner.updates == 40


def test_an_environment_that_was_written_practises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from run_cases import COMMON, finish_steps, settings

    from gcrl.practice import Practice

    new("env", "walled", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = ["experiment=push_state", "env=walled:Walled", "env.gap=0.5", "representation.scale=null", *COMMON]
    run = Practice(settings([*given, "practice.updates_per_epoch=5", "practice.random_epochs=1"], tmp_path / "run"))
    finish_steps(run)
    assert run.env_steps == 4 * 8 * 50
