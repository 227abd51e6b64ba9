"""Write ``docs/speed.md`` from the figures that `make bench` left in ``results/*_speed.json``: ``python -m benchmarks.speed_page``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gcrl.checkpoint import write_atomically

RESULTS, PAGE = Path("results"), Path("docs/speed.md")
Lines = list[str]

HEAD = """# Speed

Written by `python -m benchmarks.speed_page` from what `make bench` measured. Figures of different days and loads differ by half; ratios
are against a peer in the same run and are medians over rounds. Every file of `benchmarks/` also runs alone."""


def table(heads: Lines, rows: list[Lines]) -> Lines:
    """Return a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]


def verdict(value: float, required: float | None, at_least: bool) -> str:
    """Return what is wanted, and whether `value` is that."""
    if required is None:
        return ""
    met = value >= required if at_least else value <= required
    return f"{'at least' if at_least else 'at most'} {required:g}" + ("" if met else ": **not met**")


def environments(found: dict[str, Any]) -> Lines:
    """Steps a second of every task by state and with pictures, beside its peers."""
    by_task: dict[str, dict[str, Any]] = {}
    for row in found["rows"]:
        by_task.setdefault(row["task"], {})[row["kind"]] = row
    peer = found["rows"][0]["peer"]
    rows = []
    for task, kinds in by_task.items():
        cells = [task]
        for kind in ("state", "image"):
            one = kinds[kind]
            low, high = one["ratio_range"]
            cells += [f"{one['steps_per_s']:,.0f}", f"{one['ratio']:.1f} ({low:.1f} to {high:.1f})"]
            cells += [verdict(one["ratio"], one.get("required"), True)]
        rows.append(cells)
    first = next(iter(by_task.values()))
    pace = " and ".join(
        f"{first[kind]['peer_steps_per_s']:,.1f} steps/s {way}" for kind, way in (("state", "by state"), ("image", "with pictures"))
    )
    heads = ["task", "state, steps/s", "ratio", "wanted", f"with {found['image_size']}-px picture, steps/s", "ratio", "wanted"]
    return [
        "## Environments",
        "",
        f"One process, one thread, random actions. Ratios to panda-gym's {peer} ({pace}); gymnasium-robotics' FetchPush-v4 among the rows.",
        "",
        *table(heads, rows),
    ]


def updates(found: dict[str, Any]) -> Lines:
    """Milliseconds an update at both sizes, beside the nearest implementation and our own SAC."""
    lines = [
        "## Agents' updates",
        "",
        "CPU time of one thread, minibatches drawn beforehand on both sides; equal networks, batch, critics, LayerNorm and optimiser.",
        "Ratios (with quartiles) of ours to the nearest public implementation that installs here, and of ours to our own SAC. An agent's",
        "second peer is for comparison only. CRL, QRL and HIQL have none that installs here, GCIQL and GCIVL none of their own.",
    ]
    return lines + update_tables(found)


def update_tables(found: dict[str, Any]) -> Lines:
    """The tables of one processor, and what was particular to it."""
    load = f"Load of the machine at the start: {found['load']:.1f}, of which this benchmark is none; an idle one has 0."
    lines = ["", f"Processor: {found['processor']}. {load}" + (f" {found['note']}" if "note" in found else "")]
    heads = ["agent", "ours, ms", "to our SAC", "wanted", "peer", "its ms", "ratio", "wanted"]
    for size in found["sizes"]:
        widths = " x ".join(map(str, size["hidden"]))
        products = "a hidden layer's product: {ours:.2f} ms, by torch's choice of library {torch:.2f} ms".format(**size["product_ms"])
        lines += ["", f"Networks {widths}, batch {size['batch']}, {size['rounds']} rounds ({products}):", ""]
        lines += table(heads, update_rows(size["rows"]))
    return lines


def update_rows(rows: list[dict[str, Any]]) -> list[Lines]:
    """One row for every agent and peer; what concerns the agent alone stands in its first."""

    def told(one: dict[str, Any]) -> str:
        return f"{one['ratio']:.2f} ({one['low']:.2f} to {one['high']:.2f})"

    cells = []
    for row in rows:
        own = row["to_sac"]
        first = [row["agent"], f"{row['ms']:.2f}", f"{own['ratio']:.2f}", verdict(own["ratio"], own["required"], False)]
        for peer in row["peers"]:
            name = peer["peer"] + (f" ({peer['differs']})" if peer["differs"] else "")
            cells.append([*first, name, f"{peer['ms']:.2f}", told(peer), verdict(peer["ratio"], peer["required"], False)])
            first = [""] * len(first)
        if not row["peers"]:
            cells.append([*first, "none installs here", "", "", ""])
    return cells


def replay(found: dict[str, Any]) -> Lines:
    """Microseconds a relabelled minibatch, and memory."""
    batch, required = found["minibatch"], found["required"]
    sizes = sorted(int(key.split("_")[1]) for key in batch if key.startswith("ratio_"))
    rows = [
        [
            f"{size:,} transitions",
            f"{batch[f'ours_{size}_us']:.0f}",
            f"{batch[f'theirs_{size}_us']:.0f}",
            f"{batch[f'ratio_{size}']:.3f}",
            verdict(batch[f"ratio_{size}"], required["ratio"], False) + (" (their default size)" if size == sizes[-1] else ""),
        ]
        for size in sizes
    ]
    ours, theirs = (found[f"memory_{side}"]["gigabytes"] for side in ("ours", "theirs"))
    return [
        "## Replay",
        "",
        *table(["HER minibatch of 256", "ours, us", "stable-baselines3, us", "ratio", "wanted"], rows),
        "",
        f"Ours at {sizes[-1]:,} against {sizes[0]:,}: {batch['growth']:.2f} ({verdict(batch['growth'], required['growth'], False)}).",
        f"Memory of 100,000 visual transitions: {ours:.3f} GB, stable-baselines3 {theirs:.3f} GB "
        f"({verdict(ours, required['gigabytes'], False)} GB).",
    ]


def end_to_end(found: dict[str, Any]) -> Lines:
    """Steps a second of practice."""
    rows = [
        [f"{one[name]:.0f}" for name in ("gcrl", "sb3_one_thread", "sb3_all_threads")] + [f"{one['ratio']:.2f}"] for one in found["rounds"]
    ]
    heads = ["ours, steps/s", "stable-baselines3, one thread", "all threads", "ratio to the faster"]
    return [
        "## Practice, end to end",
        "",
        f"SAC+HER on PandaPush-v3, one update a step, both given two cores: {found['ratio']:.2f} ({verdict(found['ratio'], 1.6, True)}).",
        "",
        *table(heads, rows),
    ]


def datasets(found: dict[str, Any]) -> Lines:
    """Reading and writing HDF5, beside Minari."""
    sizes = {name: one for name, one in found.items() if name.endswith("_pixels")}
    figures = list(next(iter(sizes.values())))
    rows = [[figure.replace("_", " "), *(f"{one[figure]:,.1f}" for one in sizes.values())] for figure in figures]
    unmet = [name for name, held in found["met"].items() if not held]
    return [
        "## Datasets",
        "",
        f"100,000 frames. Wanted: {', '.join(found['met'])}; " + (f"**not met**: {', '.join(unmet)}." if unmet else "all met."),
        "",
        *table(["", *(name.replace("_", " ") for name in sizes)], rows),
    ]


def collecting(found: dict[str, Any]) -> Lines:
    """Two workers against one."""
    rows = [
        [
            task,
            f"{found[task]['one_worker_per_s']:.1f}",
            f"{found[task]['two_workers_per_s']:.1f}",
            f"{found[task]['one_worker_first_s']:.1f} and {found[task]['two_workers_first_s']:.1f}",
            f"{found[task]['two_workers']['ratio']:.2f}",
            f"{found[task]['two_commands']['ratio']:.2f}",
            verdict(found[task]["two_workers"]["ratio"], found["required"], True),
        ]
        for task in ("push", "door")
    ]
    heads = [
        "task",
        "one worker, episodes/s",
        "two workers",
        "first 16 episodes, s",
        "ratio",
        "two commands side by side, against one",
        "wanted",
    ]
    return [
        "## Collecting",
        "",
        f"`gcrl collect` of {found['episodes']} episodes with 48-px pictures; rates are those under way, without the first 16.",
        "",
        *table(heads, rows),
    ]


def samplers(found: dict[str, Any]) -> Lines:
    """Milliseconds that 1,000 goals take, at both sizes of the replay."""
    sizes = sorted({row["states"] for row in found["rows"]})
    prior, by_name = found["vq_prior"], dict[str, dict[int, dict[str, Any]]]()
    for row in found["rows"]:
        by_name.setdefault(row["sampler"], {})[row["states"]] = row
    rows = []
    for name, at in by_name.items():
        slowest = max(one["ms"] for one in at.values())
        cells = [f"{at[size]['ms']:.1f} ({at[size]['low_ms']:.1f} to {at[size]['high_ms']:.1f})" for size in sizes]
        rows.append(
            [name, *cells, verdict(slowest, found["required_ms"], False) if name != "commanded" else "draws goals from the simulator"]
        )
    return [
        "## Goal samplers",
        "",
        f"{found['goals']:,} goals proposed on Push by state, SAC of 256 x 256 units where values are asked for; CPU time of one thread,",
        f"medians (with quartiles). Load of the machine at the start: {found['load']:.1f}.",
        "",
        *table(["sampler", *(f"{size:,} stored states, ms" for size in sizes), "wanted"], rows),
        "",
        f"{prior['goals']} goals from the VQ-VAE's prior, 12 x 12 codes: {prior['ms']:.0f} ms ({prior['low_ms']:.0f} to "
        f"{prior['high_ms']:.0f}); {verdict(prior['ms'], prior['required_ms'], False)}.",
    ]


def planners(found: dict[str, Any]) -> Lines:
    """Milliseconds that a plan takes, for one episode and for several at once."""
    at_once, by_name = sorted({row["episodes"] for row in found["rows"]}), dict[str, dict[int, dict[str, Any]]]()
    for row in found["rows"]:
        by_name.setdefault(row["planner"], {})[row["episodes"]] = row
    rows = []
    for name, of in by_name.items():
        cells = [f"{of[n]['ms']:.1f} ({of[n]['low_ms']:.1f} to {of[n]['high_ms']:.1f})" for n in at_once]
        rows.append([name, *cells, verdict(of[at_once[0]]["ms"], found["required_ms"], False)])
    return [
        "## Planners",
        "",
        f"A plan in a latent space of {found['latent']} dimensions, values of GCIVL with 256 x 256 units where they are asked for; PTP: 8",
        "subgoals, 1,024 candidates, 5 iterations. CPU time of one thread, medians (with quartiles). Load of the machine at the start: "
        f"{found['load']:.1f}.",
        "",
        *table(["planner", *(f"{n} at once, ms" for n in at_once), "wanted of one"], rows),
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], Lines]] = {
    "env": environments,
    "update": updates,
    "replay": replay,
    "sampler": samplers,
    "planner": planners,
    "end_to_end": end_to_end,
    "dataset": datasets,
    "collect": collecting,
}


def main() -> None:
    """Write the page; what was not measured yet is said to be so."""
    lines = [HEAD]
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}_speed.json"
        if not path.exists():
            lines += ["", f"*Not measured yet: `python -m benchmarks.{name}_speed --out {path}`.*"]
            continue
        found = json.loads(path.read_text())
        versions = found.get("versions") or found["system"]["packages"]
        said = ", ".join(f"{package} {number}" for package, number in versions.items())
        lines += ["", *section(found), "", f"`{found['command']}`; {said}."]
        for other in sorted(RESULTS.glob("update_speed_*.json")) if name == "update" else ():  # on other processors
            found = json.loads(other.read_text())
            said = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
            lines += [*update_tables(found), "", f"`{found['command']}`; {said}."]
    write_atomically(PAGE, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
