"""Episodes of a dataset to look at: a film, or a contact sheet with one row an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, unknown
from gcrl.data.output import require_new
from gcrl.data.reader import Reader
from gcrl.data.schema import PROVENANCES, is_picture
from gcrl.report.film import film
from gcrl.report.sheet import sheet
from representations.api import Rows

DEFAULT_EPISODES = {".mp4": 6, ".png": 12}  # shown unless chosen, evenly spread over the file
COLUMNS = 9  # pictures of a contact sheet's row, beside the goal


def play(
    path: str | Path, out: str | Path | None = None, *, episodes: str | None = None, key: str = "image", overwrite: bool = False
) -> Path:
    """Write a film (``.mp4``) or a contact sheet (``.png``) of the dataset at `path` to `out` and return the path.

    out: by default the dataset's path ending in .mp4. episodes: numbers such as ``"0,3,10-12"``; by default some from all over the file.
    key: the observation that is shown. Beside each episode stands its goal's picture, or where it has none its last frame. A film takes
    15 frames a second, one a step; where no video encoder is installed it is a GIF. Raises `UserError` for a dataset without pictures,
    episodes that do not exist, an `out` of another kind, and one that exists, unless `overwrite`.
    """
    out = Path(path).with_suffix(".mp4") if out is None else Path(out)
    if out.suffix not in DEFAULT_EPISODES:
        raise UserError(f"cannot play to {out.name}; expected a name that ends in .mp4 (film) or .png (contact sheet)")
    require_new(out, overwrite)
    with Reader(path) as reader:
        pictures = [name for name, space in reader.header.observation_space.items() if is_picture(space) and name in _stored(reader)]
        if not pictures:
            raise UserError(f"{path} holds no pictures to play; its observations are {', '.join(_stored(reader))}")
        if key not in pictures:
            raise unknown("picture", key, pictures)
        chosen = choose(episodes, len(reader), DEFAULT_EPISODES[out.suffix])
        if out.suffix == ".png":
            return sheet([_row(reader, int(number), key) for number in chosen], out)
        return _film(reader, chosen, key, out)


def choose(text: str | None, n: int, default: int) -> Rows:
    """Return the episode numbers that `text` names ("0,3,10-12"), or `default` of all `n`, evenly spread; `UserError` for others."""
    if n == 0:
        raise UserError("the dataset holds no episodes yet")
    if text is None:
        return np.unique(np.linspace(0, n - 1, min(n, default)).round().astype(np.int64))
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"cannot read episodes '{text}'; expected numbers and ranges such as 0,3,10-12")
        numbers = range(int(first), int(last if dash else first) + 1)
        if not numbers or numbers[-1] >= n:
            raise UserError(f"there are no episodes {part.strip()}; expected numbers from 0 to {n - 1}")
        chosen += numbers
    return np.array(chosen, dtype=np.int64)


def _stored(reader: Reader) -> list[str]:
    return list(reader.file["steps/observation"])


def _goal(reader: Reader, number: int, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the goal's picture, or None where the episode has none that fits beside its frames."""
    if not reader.header.image_goal:
        return None
    picture: NDArray[Any] = reader.file["goals/image"][number]
    return picture if picture.shape == shape and picture.any() else None


def _title(reader: Reader, number: int, goal: NDArray[Any] | None) -> str:
    return f"episode {number}, {'its end' if goal is None else 'goal'}"


def _provenance(reader: Reader, number: int) -> str:
    names = {code: name for name, code in PROVENANCES.items()}
    return names.get(int(reader.column("provenance")[number]), "")


def _row(reader: Reader, number: int, key: str) -> tuple[str, NDArray[np.uint8]]:
    """Return an episode as a row of a contact sheet: its goal (black where it has none), then frames from first to last."""
    steps = np.unique(np.linspace(0, reader.lengths[number], COLUMNS).round().astype(np.int64))
    frames = reader.read(key, reader.starts[number] + steps)
    goal = _goal(reader, number, frames.shape[1:])
    shown = f"steps {', '.join(map(str, steps))}"
    label = f"episode {number}, {_provenance(reader, number)}: {'no goal, ' if goal is None else 'goal, '}{shown}"
    if not reader.header.image_goal:
        return label, frames
    return label, np.concatenate([np.zeros_like(frames[:1]) if goal is None else goal[None], frames])


def _film(reader: Reader, chosen: Rows, key: str, out: Path) -> Path:
    frames = reader.episodes(chosen).observations[key]
    found = [_goal(reader, int(number), frames.shape[2:]) for number in chosen]
    goals = np.stack([episode[-1] if goal is None else goal for goal, episode in zip(found, frames)])
    titles = [_title(reader, int(number), goal) for number, goal in zip(chosen, found)]
    return film(frames, goals, out, titles=titles, figures=[_provenance(reader, int(number)) for number in chosen])
