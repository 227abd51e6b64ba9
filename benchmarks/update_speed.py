"""Times one gradient update of every agent but DrQ beside the nearest public implementation, at equal networks and batch, on one thread.

    python -m benchmarks.update_speed [--rounds 30] [--only SAC IQL] [--out results/update_speed.json]

Figures of another processor belong in a file of their own, ``results/update_speed_NAME.json``: the page shows them all.

Two sizes: 256 x 256 at batch 256, where overhead decides, and 512 x 3 at batch 1024, where products do. All take turns in short rounds, so
that whatever else the machine does falls on all; figures are medians over rounds of ratios within a round: to the peer, and to our own SAC.
Times are CPU seconds of the one thread. Minibatches are drawn before the clock starts, on both sides: replay has a benchmark of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmarks.update_agents import AGENTS, Timed, ours
from benchmarks.update_peers import PEERS
from gcrl.agents.products import linear, maker

# Networks, batch, updates of a round (even, since TD3 moves its actor at every second one), and the most that a ratio to the peer may be.
SIZES: list[tuple[list[int], int, int, float]] = [([256, 256], 256, 10, 0.6), ([512, 512, 512], 1024, 2, 1.0)]
MOST_OF_SAC = 2.5
PACKAGES = ("torch", "stable-baselines3", "d3rlpy", "numpy", "gymnasium")


def spread(ratios: NDArray[np.float64]) -> dict[str, float]:
    """Return median and quartiles of ratios over rounds."""
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {"ratio": float(median), "low": float(low), "high": float(high)}


def product(width: int, batch: int, calls: int = 60) -> dict[str, float]:
    """Return milliseconds of a hidden layer's product by our choice of library and by torch's own: how far apart products let us be."""
    x, weight, bias = torch.randn(batch, width), torch.randn(width, width), torch.randn(width)
    found: dict[str, list[float]] = {"ours": [], "torch": []}
    with torch.no_grad():
        for _ in range(calls):
            for name, layer in (("ours", linear), ("torch", F.linear)):
                start = time.process_time()
                layer(x, weight, bias)
                found[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(times)) for name, times in found.items()}


def measure(hidden: list[int], batch: int, updates: int, most: float, rounds: int, names: list[str]) -> dict[str, Any]:
    """Return the rows of one size: each agent beside each of its peers, and beside our SAC."""
    timed: dict[str, Timed] = {name: ours(name, hidden, batch) for name in names}
    for name in names:
        timed |= {f"{name} / {peer.name}": peer.make(hidden, batch) for peer in PEERS[name]}
    for run in timed.values():
        run(updates)
    found = [{key: run(updates) / updates for key, run in timed.items()} for _ in range(rounds)]
    seconds = {key: np.array([one[key] for one in found]) for key in timed}
    rows = []
    for name in names:
        own = {"agent": name, "ms": 1e3 * float(np.median(seconds[name]))}
        own |= {"to_sac": spread(seconds[name] / seconds["SAC"]) | {"required": MOST_OF_SAC}}
        beside = []
        for index, peer in enumerate(PEERS[name]):
            others = seconds[f"{name} / {peer.name}"]
            one = {"peer": peer.name, "differs": peer.differs, "ms": 1e3 * float(np.median(others)), **spread(seconds[name] / others)}
            beside.append(one | {"required": most if index == 0 else None})
        rows.append(own | {"peers": beside})
    sizes = {"hidden": hidden, "batch": batch, "updates": updates, "rounds": rounds}
    return sizes | {"product_ms": product(hidden[0], batch), "rows": rows}


def say(size: dict[str, Any]) -> None:
    """Print the rows of one size."""
    print(f"one update, networks {size['hidden']}, batch {size['batch']}, one thread each, {size['rounds']} rounds")
    print("  one hidden layer's product: {ours:.3f} ms by ours, {torch:.3f} ms by torch's own choice".format(**size["product_ms"]))
    for row in size["rows"]:
        print(f"  {row['agent']:6} {row['ms']:7.2f} ms, {row['to_sac']['ratio']:.2f} of our SAC")
        for peer in row["peers"]:
            over = "" if peer["required"] is None or peer["ratio"] <= peer["required"] else f"  above {peer['required']:g}"
            about = f"{peer['ratio']:.2f} (quartiles {peer['low']:.2f} to {peer['high']:.2f})"
            print(f"         {about} of {peer['peer']}, {peer['ms']:.2f} ms{over}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Update time of gcrl's agents beside their peers', one thread each.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=AGENTS, default=list(AGENTS), help="these agents, and SAC")
    parser.add_argument("--out", help="write the figures as JSON to this file")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: expected at least 1")
    if options.out and not Path(options.out).parent.is_dir():
        parser.error(f"--out {options.out}: there is no folder {Path(options.out).parent}")
    torch.set_num_threads(1)
    start, load = time.perf_counter(), os.getloadavg()[0]
    names = [name for name in AGENTS if name in ("SAC", *options.only)]
    sizes = []
    for size in SIZES:
        sizes.append(measure(*size, options.rounds, names))
        say(sizes[-1])
    if options.out:
        record = {
            "command": shlex.join(["python", "-m", "benchmarks.update_speed", *sys.argv[1:]]),
            "threads": 1,
            "processor": maker() or platform.processor(),
            "load": load,
            "sizes": sizes,
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "wall_s": round(time.perf_counter() - start, 1),
        }
        with open(options.out, "w") as file:
            file.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
