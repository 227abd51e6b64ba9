"""Fixtures that several files use; helpers are in the ``*_cases`` modules."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import torch

from gcrl.collect import collect

# Files that take longest, which are begun first, so that two workers end at about the same time.
LONGEST = ("compare", "faults", "real_robot", "context_vae", "collect", "outcomes", "agents_learn", "offline", "docs", "wheel", "vqvae")

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("unhurried")
torch.set_num_threads(1)  # sums would depend on how many there are, and two workers have two cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `LONGEST` first, in that order; the others stay as they are."""
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random episodes of the tiny door, with pictures; not to be changed."""
    path = tmp_path_factory.mktemp("data") / "doors.h5"
    collect(["env=door", "env.image_size=48", "env.horizon=10", "policy=random", "episodes=12", "simulators=4", f"out={path}"])
    return path
