"""To and from other packages' formats, without losing anything silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from envs.errors import UserError, unknown
from gcrl.data.formats import exporter, importer
from gcrl.data.formats.api import Exporter, observation_keys
from gcrl.data.output import replacing
from gcrl.data.reader import Reader
from gcrl.data.schema import PROVENANCES


def export(
    path: str | Path,
    out: str | Path,
    format: str,
    *,
    split: str | None = None,
    keys: str | None = None,
    lossy: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the dataset at `path` to `out` in another package's `format` ("minari", "robomimic", "ogbench", or ``module:Class``).

    split: only these episodes. keys: only these observations, separated by commas; what is left out by choice is no loss. Raises
    `UserError` for an unknown format, split or key, where `out` exists without `overwrite`, and without `lossy` where the format has no
    place for something that the dataset holds, naming it.
    """
    target, out = exporter(format), Path(out)
    if out.suffix != target.suffix and not target.marker:
        raise UserError(f"out={out}: expected a name that ends in {target.suffix}")
    with Reader(path) as reader:
        chosen = np.flatnonzero(reader.mask(split)) if split else np.arange(len(reader))
        if not len(chosen):
            raise UserError(f"{path} has no episodes{f' in split {split}' if split else ''} to export")
        wanted = _keys(reader, keys, target)
        lost = target.losses(reader, chosen, wanted) + ["the environment's states"] * bool(reader.header.state_dim)
        if lost and not lossy:
            raise UserError(f"format {format} has no place for {'; '.join(lost)}; give --lossy to leave that out")
        size = int(target.growth * Path(path).stat().st_size)
        with (
            replacing(out, overwrite, expected_bytes=size, marker=target.marker) as new,
            tqdm(total=len(chosen), desc="export", unit=" episodes", disable=None, leave=False) as progress,
        ):
            target.write(reader, chosen, wanted, new, out, progress.update)
    return out


def import_(
    path: str | Path, out: str | Path, format: str = "minari", *, provenance: str = "scripted", lossy: bool = False, overwrite: bool = False
) -> Path:
    """Write the dataset at `path`, which is in another package's `format`, to the new dataset `out` and return its path.

    provenance: what to note where the source does not know who acted. Raises `UserError` as `export` does.
    """
    if provenance not in PROVENANCES:
        raise unknown("provenance", provenance, PROVENANCES)
    out = Path(out)
    source = importer(format).open(Path(path))
    lost = source.losses()
    if lost and not lossy:
        raise UserError(f"a gcrl dataset has no place for {'; '.join(lost)}; give --lossy to leave that out")
    with (
        replacing(out, overwrite, expected_bytes=source.expected_bytes) as new,
        tqdm(total=source.episodes, desc="import", unit=" episodes", disable=None, leave=False) as progress,
    ):
        source.write(new, provenance, progress.update)
    return out


def _keys(reader: Reader, text: str | None, target: Exporter) -> list[str]:
    """Return the observations to export."""
    known = observation_keys(reader)
    if text is None:
        if target.default_keys is None:
            return known
        return [next((key for key in target.default_keys.split(",") if key in known), known[0])]
    wanted = [key.strip() for key in text.split(",")]
    for key in wanted:
        if key not in known:
            raise unknown("observation", key, known)
    return list(dict.fromkeys(wanted))
