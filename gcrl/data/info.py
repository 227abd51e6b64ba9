"""What is in a dataset, as figures and as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcrl.data.reader import Reader
from gcrl.data.schema import FORMAT, PROVENANCES, VERSION, space_to_dict


def info(path: str | Path) -> dict[str, Any]:
    """Return plain JSON values about the dataset at `path`; sizes in bytes, lengths in steps. Raises `UserError` as `Reader` does."""
    with Reader(path) as reader:
        header, n = reader.header, len(reader)
        codes, epochs = reader.column("provenance"), reader.column("epoch")
        datasets: dict[str, Any] = {}

        def describe_dataset(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                stored = {"shape": list(item.shape), "dtype": str(item.dtype), "bytes": int(item.id.get_storage_size())}
                datasets[f"/{name}"] = stored | {"raw_bytes": int(item.size * item.dtype.itemsize)}

        reader.file.visititems(describe_dataset)
        return {
            "path": str(path),
            "format": FORMAT,
            "format_version": int(reader.file.attrs.get("format_version", VERSION)),
            "file_bytes": Path(path).stat().st_size,
            "env_id": header.env_id,
            "env_arguments": header.env_arguments,
            "episodes": n,
            "steps": int(reader.lengths.sum()),
            "frames": reader.rows,
            "length": {"min": int(reader.lengths.min()), "mean": float(reader.lengths.mean()), "max": int(reader.lengths.max())}
            if n
            else None,
            "epochs": [int(epochs.min()), int(epochs.max())] if n else None,
            "provenance": {name: int((codes == code).sum()) for name, code in PROVENANCES.items() if (codes == code).any()},
            "sampler": header.sampler,
            "git_revision": header.git_revision,
            "observation_space": space_to_dict(header.observation_space),
            "action_space": space_to_dict(header.action_space),
            "aliases": header.aliases,
            "masks": {split: int(np.count_nonzero(reader.mask(split))) for split in reader.file["mask"]},
            "datasets": datasets,
            "config": header.config,
        }


def describe(path: str | Path) -> str:
    """Return the table that ``gcrl data info FILE`` prints. Raises `UserError` as `Reader` does."""
    facts = info(path)
    length, epochs = facts["length"], facts["epochs"]
    arguments = ", ".join(f"{key}={value}" for key, value in facts["env_arguments"].items())
    lines = [
        ("file", f"{facts['path']} ({_size(facts['file_bytes'])}), {facts['format']} version {facts['format_version']}"),
        ("environment", facts["env_id"] + (f" ({arguments})" if arguments else "")),
        ("episodes", f"{facts['episodes']:,} with {facts['steps']:,} steps, {facts['frames']:,} frames"),
        ("length", f"{length['min']} to {length['max']} steps, mean {length['mean']:.1f}" if length else "no episodes yet"),
        ("epochs", f"{epochs[0]} to {epochs[1]}" if epochs else "none"),
        ("provenance", ", ".join(f"{name} {count:,}" for name, count in facts["provenance"].items()) or "none"),
        ("goal sampler", facts["sampler"] or "not recorded"),
        ("git revision", facts["git_revision"] or "not recorded"),
        ("splits", ", ".join(f"{split} {count:,}" for split, count in facts["masks"].items()) or "none"),
    ]
    rows = [("dataset", "shape", "type", "stored", "raw")]
    rows += [
        (name, " x ".join(map(str, item["shape"])), item["dtype"], _size(item["bytes"]), _size(item["raw_bytes"]))
        for name, item in facts["datasets"].items()
    ]
    rows += [(f"/steps/observation/{alias}", f"= {key}", "", "", "") for alias, key in facts["aliases"].items()]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*(f"{name:<13} {value}" for name, value in lines), "", *table])


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
