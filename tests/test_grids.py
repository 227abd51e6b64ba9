"""A policy that finds things in grids of cells: wherever they lie, from few places that it was shown."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from agent_cases import BOX, generators, same, tensors
from run_cases import DOOR, settings

from envs.errors import UserError
from gcrl.agents.gcbc import GCBC
from gcrl.practice import Practice

SIDE = 6
PLACES = np.array(list(itertools.product(range(SIDE), repeat=2)))


def pictures(places: np.ndarray) -> np.ndarray:
    """Return (n, SIDE · SIDE · 2) grids in which the cell at each place (n, 2) has another code than the others."""
    grids = np.zeros((len(places), SIDE, SIDE, 2), np.float32)
    grids[..., 0] = 1
    grids[np.arange(len(places)), places[:, 0], places[:, 1]] = 0, 1
    return grids.reshape(len(places), -1)


def batch(here: np.ndarray, there: np.ndarray):
    """Return a batch whose actions (n, 2) are the way from one place (n, 2) to the other, in sides of the grid."""
    n = len(here)
    inputs = np.c_[pictures(here), np.zeros((n, 1))]
    return tensors(inputs, (there - here) / SIDE, np.zeros(n), inputs, np.zeros(n), pictures(there))


def agent(**more) -> GCBC:
    shape = {"grid": (SIDE, SIDE, 2), "maps": 8} | more
    return GCBC(SIDE * SIDE * 2 + 1, SIDE * SIDE * 2, BOX, seed=0, hidden=(64, 64), lr=3e-3, **shape)


def error_where_never_seen(cloner: GCBC) -> float:
    """Learn from a half of all places and return the mean square error of actions between the others."""
    rng = np.random.default_rng(0)
    shown = rng.permutation(len(PLACES))
    known, new = PLACES[shown[: len(PLACES) // 2]], PLACES[shown[len(PLACES) // 2 :]]
    for _ in range(500):
        cloner.update(batch(*(known[rng.integers(len(known), size=128)] for _ in range(2))))
    asked = batch(*(new[rng.integers(len(new), size=256)] for _ in range(2)))
    acts = cloner.act(asked.inputs.numpy(), asked.goals.numpy(), None)
    return float(np.square(acts - asked.actions.numpy()).mean())


def test_things_are_found_where_they_never_lay_before() -> None:
    found, dense = error_where_never_seen(agent()), error_where_never_seen(agent(grid=()))
    spread = np.square((PLACES[:, None] - PLACES[None]) / SIDE).mean()
    assert dense > 0.5 * spread, "a dense layer learns of each place by itself"
    assert found < 0.2 * spread


def test_a_checkpoint_goes_on_to_the_same_policy() -> None:
    one, other = agent(average=0.9), agent(average=0.9)
    rng = np.random.default_rng(1)
    asked = [batch(*(PLACES[rng.integers(len(PLACES), size=16)] for _ in range(2))) for _ in range(4)]
    for given in asked[:2]:
        one.update(given)
    other.load_state_dict(one.state_dict())
    for given in asked[2:]:
        one.update(given)
        other.update(given)
    assert same(one.state_dict(), other.state_dict())
    acting = agent(average=0.9)
    acting.load_actor_state(one.actor_state())
    rows = asked[0].inputs.numpy(), asked[0].goals.numpy()
    assert np.array_equal(acting.act(*rows, generators(16)), one.act(*rows, generators(16)))


def test_a_nan_stays_in_its_row() -> None:
    rows = [value.numpy().copy() for value in (batch(PLACES, PLACES[::-1]).inputs, batch(PLACES, PLACES[::-1]).goals)]
    whole = agent().act(*rows, None)
    rows[0][3, 5] = torch.nan
    torn = agent().act(*rows, None)
    assert np.isnan(torn[3]).any()
    assert np.array_equal(np.delete(torn, 3, 0), np.delete(whole, 3, 0))


@pytest.mark.parametrize("grid", [(6, 6), (6, 6, 3), (72,), (6, 0, 2), (6.0, 6, 2), "662"])
def test_latents_that_are_no_such_grid_are_refused(grid) -> None:
    with pytest.raises(UserError, match=r"GCBC grid=.*goals of 72 numbers and inputs of 73; expected .*\[12, 12, 5\]"):
        agent(grid=grid)


def test_inputs_begin_with_the_grid(tmp_path: Path) -> None:
    door = [text for text in DOOR if "latent_dim" not in text]
    turned = ["agent=gcbc", "relabel=future", "representation=vqvae", "agent.grid=[4,4,5]", "env.image_size=16"]
    with pytest.raises(UserError, match=r"expected its picture or grid, latent, first"):
        Practice(settings([*door, *turned, "practice.inputs=[proprioception,latent]"], tmp_path / "run"))
