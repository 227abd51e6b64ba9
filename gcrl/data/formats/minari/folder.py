"""Where Minari keeps its datasets, and by which names it knows them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from envs.errors import UserError


def datasets_folder() -> Path:
    """Return the folder in which Minari looks for datasets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def data_folder(path: Path) -> Path:
    """Return the folder with ``metadata.json`` of the dataset at `path` (or of the id `path`); raises `UserError` where there is none."""
    candidates = [path / "data", path, datasets_folder() / path / "data"]
    for folder in candidates:
        if (folder / "metadata.json").is_file():
            return folder
    if not path.exists():
        raise UserError(f"{path} does not exist; expected a Minari dataset's folder, or its id if it lies in {datasets_folder()}")
    raise UserError(f"{path} is no Minari dataset; expected a folder with data/metadata.json")


def dataset_id(path: Path) -> str:
    """Return the id of a dataset that will lie at `path`: its path in Minari's folder, or its name, with a version at the end."""
    whole, root = path.resolve(), datasets_folder().resolve()
    text = whole.relative_to(root).as_posix() if whole.is_relative_to(root) and whole != root else whole.name
    text = re.sub(r"[^-\w/]", "_", text)
    return text if re.search(r"-v\d+$", text) else f"{text}-v0"
