"""A reward that is learnt from examples of success: how likely a state is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError, unknown
from gcrl.goals.taken import goals_of_file
from gcrl.policy import as_goals
from gcrl.relabel import GoalBatch
from gcrl.rewards import Bools, Next, Plain, never
from gcrl.statistics import affordable
from representations.api import Experience, Floats, Representation

FAILURES = 4096  # stored frames that stand for what is no success
PAIRS = 500  # of latents, from which the kernel's width is estimated


class SuccessClassifier(Plain):
    """Reward log p(success | z') in nats, or p itself, by a classifier that is learnt anew at every `refit`; the goal does not matter.

    examples: a file of ``gcrl goals`` (made of frames, of photos, or by an expert), whose goals in `split` are successes. failures: another
    such file; "": frames drawn from what is stored stand for failures, among which there are successes once the policy makes them, which
    caps p but keeps its order (VICE). form: "log_probability" or "probability". features: random Fourier features of a Gaussian kernel,
    as wide as latents lie apart in the median; on them a logistic regression, both classes counting alike. strength: inverse weight of its
    L2 penalty. Before the first `refit` p is 1/2 everywhere. Never terminates.
    Sources: "Learning on the job" (Nair et al. 2022), where a learnt classifier of success is the reward of online practice; VICE (Fu et
    al. 2018) for failures taken from the policy. Raises `UserError` for a file that does not fit, and for arguments out of range.
    """

    needs = ("latent",)
    any_goal_space = True

    def __init__(
        self,
        *,
        env: TaskEnv,
        env_id: str,
        representation: Representation,
        examples: str = "",
        failures: str = "",
        split: str = "train",
        form: str = "log_probability",
        features: int = 256,
        strength: float = 1.0,
    ) -> None:
        if not examples:
            raise UserError("reward.examples is empty; expected a file of `gcrl goals` with examples of success")
        if form not in ("log_probability", "probability"):
            raise unknown("reward.form", form, ("log_probability", "probability"))
        if features < 1:
            raise UserError(f"reward.features={features}; expected at least 1")
        if not 0 < strength < float("inf"):
            raise UserError(f"reward.strength={strength!r}; expected a positive number")
        self.form, self._features, self._strength = form, features, strength
        self._env, self._representation = env, representation
        files = [examples, *([failures] if failures else [])]
        self.example_files = tuple((path, split) for path in files)
        self._files: list[GoalSet] = [goals_of_file(path, split, env_id, env, representation, "this run").goals for path in files]
        d = representation.latent_dim
        self._weights: dict[str, NDArray[np.float32]] = {
            "frequencies": np.zeros((d, features), np.float32),
            "phases": np.zeros(features, np.float32),
            "coefficients": np.zeros(features, np.float32),
            "offset": np.zeros(1, np.float32),
        }

    def __call__(self, next: Next, goals: GoalBatch) -> tuple[Floats, Bools]:
        """Return (reward (n,), all False)."""
        logits = self.logits(next["latent"])
        log_probability = -np.logaddexp(0.0, -logits)
        reward = log_probability if self.form == "log_probability" else np.exp(log_probability)
        return np.asarray(reward, np.float32), never(goals)

    def logits(self, latents: Floats) -> NDArray[np.float32]:
        """Return (n,) log odds of success of latents (n, d)."""
        weights = self._weights
        waves = np.sqrt(2.0 / self._features) * np.cos(latents @ weights["frequencies"] + weights["phases"])
        return np.asarray(waves @ weights["coefficients"] + weights["offset"][0], np.float32)

    def refit(self, experience: Experience, generator: np.random.Generator) -> None:
        """Learn the classifier from the examples, encoded as they are now, and from failures or stored frames."""
        successes, *named = [as_goals(self._env, self._representation, goals).params for goals in self._files]
        drawn = experience.sample_rows(affordable(FAILURES, self._representation.latent_dim), generator)
        failures = named[0] if named else experience.read("latent", drawn)
        latents = np.concatenate([successes, failures]).astype(np.float64)
        pairs = latents[generator.integers(len(latents), size=(2, PAIRS))]
        width = float(np.median(np.linalg.norm(pairs[0] - pairs[1], axis=1))) or 1.0
        kernel = RBFSampler(gamma=0.5 / width**2, n_components=self._features, random_state=int(generator.integers(2**31)))
        labels = np.repeat([1, 0], [len(successes), len(failures)])
        model = LogisticRegression(C=self._strength, class_weight="balanced", max_iter=1000).fit(kernel.fit_transform(latents), labels)
        self._weights = {
            "frequencies": np.asarray(kernel.random_weights_, np.float32),
            "phases": np.asarray(kernel.random_offset_, np.float32),
            "coefficients": np.asarray(model.coef_[0], np.float32),
            "offset": np.asarray(model.intercept_, np.float32),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the weights of the last refit."""
        return dict(self._weights)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the weights."""
        self._weights = {name: np.asarray(state[name], np.float32) for name in self._weights}
