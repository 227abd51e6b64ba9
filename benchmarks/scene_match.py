"""Do imagined goals show what is on the table? CC-RIG's autoencoder against a plain VAE on MultiPush.

    python -m benchmarks.scene_match [--seeds 1 2 3] [--out results/scene_match.json]

Both are fitted to the same 400 episodes (noisy expert, objects of the training set), and asked for goals in the scenes that other episodes
begin in. Which colours lie there, and how many objects, is read from the pictures by the hue that most pixels of a lane have; the reading
is checked on frames of other episodes in which the arm hides no object, as they are and blurred. A goal that cannot be read, or in which
the arm hides an object, counts as a miss. `match`: share of goals whose colours, each as often, are those of the scene.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import envs
from benchmarks.learn import made
from envs.bodies import COLOURS
from envs.objects import HUES
from gcrl.config import load_settings
from gcrl.data import Reader
from gcrl.parts import build_policy
from gcrl.report.sheet import sheet
from gcrl.system import system
from representations.made_up import Frames

DATA = ("env=multi_push", "policy=noisy-scripted", "noise=0.3", "episodes=400")
# as many latents, and steps, for both
ARMS = {
    "context": ["representation=context_vae"],
    "plain": ["representation=vae", "representation.latent_dim=14", "representation.first_steps=3000"],
}
BORDERS, COLOURED, LEAST = (18, 32), 0.2, 5  # pixel columns between lanes; chroma of a coloured pixel; pixels of an object, at 48 pixels
GOALS = 500
BLURS = (0.0, 0.7, 1.2)  # pixels; the autoencoders' own is somewhere there


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Return pictures (e, T+1, H, W, 3), the hue in each lane (e, 3), -1 for none, and which frames (e, T+1) show every object."""
    with Reader(path) as reader:
        whole = reader.episodes(slice(None))
    achieved = whole.observations["achieved_goal"]
    hand, slots = achieved[..., :2], achieved[..., 2:].reshape(*achieved.shape[:2], 3, 3)
    kinds = np.round(slots[:, 0, :, 0]).astype(int)
    beyond = slots[..., 1] > hand[..., None, 0] + 0.05  # the arm comes from the other side
    aside = np.abs(slots[..., 2] - hand[..., None, 1]) > 0.13
    shown = ((slots[..., 0] < 0) | beyond | aside).all(axis=-1)
    return whole.observations["image"], np.where(kinds < 0, -1, kinds % len(HUES)), shown


def blurred(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Return pictures (n, H, W, 3) blurred by a Gaussian of `sigma` pixels."""
    return np.stack([gaussian_filter(image.astype(np.float32), (sigma, sigma, 0)) for image in images]).round().astype(np.uint8)


def lanes_of(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return (n, 3) the hue in each lane of pictures (n, H, W, 3), -1 where fewer than `LEAST` pixels are of any."""
    palette = _chroma(np.array(list(COLOURS.values()), np.float32))
    palette /= np.linalg.norm(palette, axis=1, keepdims=True)
    chroma = _chroma(images.astype(np.float32) / 255)
    strength = np.linalg.norm(chroma, axis=-1)
    hue = (chroma @ palette.T).argmax(axis=-1)
    found = []
    for left, right in itertools.pairwise((0, *BORDERS, images.shape[2])):
        inside = (slice(None), slice(None), slice(left, right))
        counts = np.stack([((strength > COLOURED) & (hue == k))[inside].sum(axis=(1, 2)) for k in range(len(palette))], axis=1)
        found.append(np.where(counts.max(axis=1) >= LEAST, counts.argmax(axis=1), -1))
    return np.stack(found, axis=1)


def _chroma(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels - pixels.mean(axis=-1, keepdims=True)


def same_things(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (n,) whether two readings (n, 3) name the same colours, each as often, wherever they are."""
    return np.asarray((np.sort(one, axis=1) == np.sort(other, axis=1)).all(axis=1))


def goals_of(arm: str, seed: int, images: NDArray[np.uint8], scenes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, float]]:
    """Fit an arm's representation and return the pictures of one goal for each of the `scenes`, and the fit's metrics."""
    settings = load_settings(["env=multi_push", "representation=vae", *ARMS[arm], f"seed={seed}", "run_dir=nowhere"])
    env = envs.make(settings.env_id, **settings.env_arguments)
    representation: Any = build_policy(settings, env).representation
    env.close()
    experience = Frames({"image": images.reshape(-1, *images.shape[2:])}, steps=images.shape[1] - 1)
    rng = np.random.default_rng([seed, 9])
    started = time.process_time()
    metrics = representation.fit(experience, lambda n: experience.sample_rows(n, rng), rng, first=True)
    metrics["fit_cpu_s"] = time.process_time() - started
    goals = representation.prior(len(scenes), np.random.default_rng([seed, 10]))
    if hasattr(representation, "in_scene"):
        goals = representation.in_scene(goals, representation.encode({"image": scenes}))
    return representation.decode(goals), {key: float(value) for key, value in metrics.items()}


def main() -> None:
    """Measure, print and, where asked, write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, default=Path("runs/benchmarks"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, _, _ = read(made("collect", "scene_match", (*DATA, "seed=101"), given.keep))
    test, lanes, shown_all = read(made("collect", "scene_match.test", (*DATA[:-1], "episodes=100", "seed=102"), given.keep))
    rng = np.random.default_rng(0)
    episode, step = np.nonzero(shown_all)
    some = rng.permutation(len(episode))[:2000]
    frames, there = test[episode[some], step[some]], lanes[episode[some]]
    checked = {f"blur {sigma:g}": float(same_things(lanes_of(blurred(frames, sigma)), there).mean()) for sigma in BLURS}
    print("reading, share of frames read right:", checked)
    which = rng.integers(len(test), size=GOALS)
    scenes, there = test[which, 0], lanes[which]
    chance = float(same_things(there, there[rng.permutation(GOALS)]).mean())
    rows: list[dict[str, Any]] = []
    shown = [("scenes", scenes[:12])]
    for seed in given.seeds:
        for arm in ARMS:
            pictures, metrics = goals_of(arm, seed, train, scenes)
            read_off = lanes_of(pictures)
            row = {"arm": arm, "seed": seed, "match": float(same_things(read_off, there).mean()), **metrics}
            row["colours"] = float(np.mean([set(one) == set(other) for one, other in zip(read_off, there)]))
            rows.append(row)
            print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
            if given.out and seed == given.seeds[0]:
                sheet(
                    [("scenes", scenes[:12]), (f"goals imagined by {arm}", pictures[:12])],
                    given.out.with_name(f"{given.out.stem}_{arm}.png"),
                )
    if given.out:
        found = {"reading": checked, "chance": chance, "goals": GOALS, "data": "gcrl collect " + " ".join(DATA)}
        given.out.write_text(json.dumps({**found, "rows": rows, "system": system()}, indent=1) + "\n")
        sheet(shown, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
