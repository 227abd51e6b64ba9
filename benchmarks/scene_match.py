"""Do imagined goals show what is on the table? CC-RIG's autoencoder against a plain VAE on MultiPush.

    python -m benchmarks.scene_match [--seeds 1 2 3] [--out results/scene_match.json]

Both are fitted to the same 1,000 episodes (noisy expert, objects of the training set), and asked for goals in the scenes that other
episodes begin in: with objects of the training set, and with held-out ones, of other shapes and colours. Which colours lie there, and
how many objects, is read from the pictures by the hue that most pixels of a lane have; the reading is checked on frames of those other
episodes in which the arm hides no object, as they are and blurred, and on frames of any time. A goal that cannot be read, or in which
the arm hides an object, counts as a miss. `match`: share of goals whose colours, each as often, are those of the scene; `as many`: share
that show as many objects. Each fit's row, with its settings, is written to --out as it ends, and a second start skips what is there.
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
from benchmarks.experiments.representations import PLAIN_VAE
from benchmarks.learn import made
from benchmarks.tables import shown
from envs.bodies import COLOURS
from envs.objects import HUES
from gcrl.config import load_settings
from gcrl.data import Reader
from gcrl.parts import build_policy
from gcrl.report.sheet import sheet
from gcrl.system import system
from representations.made_up import Frames

DATA = ("env=multi_push", "policy=noisy-scripted", "noise=0.3", "episodes=1000")
ARMS = {"context": ["representation=context_vae"], "plain": PLAIN_VAE}
# where episodes begin that goals are imagined for (settings were chosen by those of seeds 102 and 103)
TABLES: dict[str, tuple[str, ...]] = {"training objects": ("seed=111",), "held-out objects": ("env.objects=held_out", "seed=112")}
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
    visible = ((slots[..., 0] < 0) | beyond | aside).all(axis=-1)
    return whole.observations["image"], np.where(kinds < 0, -1, kinds % len(HUES)), visible


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


def fitted(arm: str, seed: int, images: NDArray[np.uint8]) -> tuple[Any, dict[str, float]]:
    """Fit an arm's representation to pictures (e, T+1, H, W, 3) and return it and the fit's metrics."""
    settings = load_settings(["env=multi_push", "representation=vae", *ARMS[arm], f"seed={seed}", "run_dir=nowhere"])
    env = envs.make(settings.env_id, **settings.env_arguments)
    representation: Any = build_policy(settings, env).representation
    env.close()
    experience = Frames({"image": images.reshape(-1, *images.shape[2:])}, steps=images.shape[1] - 1)
    rng = np.random.default_rng([seed, 9])
    started = time.process_time()
    metrics = representation.fit(experience, lambda n: experience.sample_rows(n, rng), rng, first=True)
    return representation, {key: float(value) for key, value in metrics.items()} | {"fit_cpu_s": time.process_time() - started}


def goals_for(representation: Any, scenes: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Return the pictures of one imagined goal for each of the `scenes` (n, H, W, 3)."""
    goals = representation.prior(len(scenes), np.random.default_rng([seed, 10]))
    if hasattr(representation, "in_scene"):
        goals = representation.in_scene(goals, representation.encode({"image": scenes}))
    pictures: NDArray[np.uint8] = representation.decode(goals)
    return pictures


def beginnings(name: str, overrides: tuple[str, ...], keep: Path) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Return scenes that episodes begin in and what lies there, and how well real frames of these episodes can be read."""
    images, lanes, visible = read(made("collect", f"scene_match.{name}", (*DATA[:-1], "episodes=100", *overrides), keep))
    rng = np.random.default_rng(0)
    episode, step = np.nonzero(visible)
    some = rng.permutation(len(episode))[:2000]
    frames, there = images[episode[some], step[some]], lanes[episode[some]]
    checked = {f"blur {sigma:g}": float(same_things(lanes_of(blurred(frames, sigma)), there).mean()) for sigma in BLURS}
    episode, step = rng.integers(len(images), size=2000), rng.integers(images.shape[1], size=2000)
    checked["any frame"] = float(same_things(lanes_of(images[episode, step]), lanes[episode]).mean())
    which = rng.integers(len(images), size=GOALS)
    checked["chance"] = float(same_things(lanes[which], lanes[which[rng.permutation(GOALS)]]).mean())
    return {"scenes": images[which, 0], "there": lanes[which]}, checked


def main() -> None:
    """Measure, print and, where asked, write figures and a picture for each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, default=Path("runs/benchmarks"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, _, _ = read(made("collect", "scene_match", (*DATA, "seed=101"), given.keep))
    tables = {name: beginnings(name, overrides, given.keep) for name, overrides in TABLES.items()}
    reading = {name: checked for name, (_, checked) in tables.items()}
    print("reading, share of real frames read right:", reading)
    rows: list[dict[str, Any]] = json.loads(given.out.read_text())["rows"] if given.out and given.out.exists() else []
    for seed in given.seeds:
        for arm in ARMS:
            if any((row["arm"], row["seed"]) == (arm, seed) for row in rows):
                continue
            representation, metrics = fitted(arm, seed, train)
            row = {"arm": arm, "seed": seed, "settings": ARMS[arm], **metrics}
            pairs = []
            for name, (table, _) in tables.items():
                pictures = goals_for(representation, table["scenes"], seed)
                found, there = lanes_of(pictures), table["there"]
                row[f"match, {name}"] = float(same_things(found, there).mean())
                row[f"as many, {name}"] = float(((found >= 0).sum(axis=1) == (there >= 0).sum(axis=1)).mean())
                pairs += [(f"scenes, {name}", table["scenes"][:12]), (f"goals imagined by {arm}", pictures[:12])]
            rows.append(row)
            print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
            if given.out and seed == given.seeds[0]:
                sheet(pairs, given.out.with_name(f"{given.out.stem}_{arm}.png"))
            if given.out:
                made_with = {"reading": reading, "goals": GOALS, "data": "gcrl collect " + " ".join((*DATA, "seed=101"))}
                given.out.write_text(json.dumps({**made_with, "rows": rows, "system": system()}, indent=1) + "\n")
    for arm, figure in itertools.product(ARMS, (f"{kind}, {name}" for kind in ("match", "as many") for name in TABLES)):
        values = [row[figure] for row in rows if row["arm"] == arm]
        print(f"{arm}, {figure}: {shown(values, 'success_rate')}, seeds {[row['seed'] for row in rows if row['arm'] == arm]}")


if __name__ == "__main__":
    main()
