"""The film of commanded goals: the goal picture, the subgoal aimed at, what the policy sees, and the whole robot where it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError

FPS = 15
HOLD = 10  # frames for which an episode's last frame stays, so that the eye can compare
_MARGIN, _BAR, _HEIGHT = 8, 28, 192
_BACK, _INK, _GOOD, _BAD = (24, 26, 30), (214, 218, 224), (82, 190, 140), (226, 104, 112)


def film(
    frames: NDArray[np.uint8],
    goals: NDArray[np.uint8],
    path: Path | str,
    *,
    success: Sequence[bool] | None = None,
    figures: Sequence[str] | None = None,
    views: NDArray[np.uint8] | None = None,
    titles: Sequence[str] | None = None,
    aims: NDArray[np.uint8] | None = None,
) -> Path:
    """Write the film of f commanded goals to `path` (.mp4) and return it; a GIF beside it where no video encoder is installed.

    frames: (f, T+1, H, W, 3) uint8, goals: (f, H, W, 3) uint8, both enlarged by whole factors, nearest neighbour.
    views: (f, T+1, V, V, 3) uint8, other pictures of the same steps, shown as the last panel. aims: (f, T+1, H, W, 3) uint8, the
    subgoal of each step, shown beside the goal. success: (f,) colours the mark after
    each episode; figures: (f,) short texts beside it; titles: (f,) texts below the goal ("goal 1 of f"). Every episode takes
    T + 1 + HOLD frames at FPS. Raises `UserError` when the shapes do not fit each other.
    """
    path = Path(path)
    if frames.ndim != 5 or goals.ndim != 4 or len(frames) != len(goals) or frames.shape[2:] != goals.shape[1:] or not frames.size:
        raise UserError(f"cannot film frames {frames.shape} with goals {goals.shape}; expected (f, T+1, H, W, 3) and (f, H, W, 3)")
    pages = _pages(frames, goals, success, figures, views, titles, aims)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _write_mp4(pages, path)
    except (ImportError, OSError, RuntimeError):
        return _write_gif(_pages(frames, goals, success, figures, views, titles, aims), path.with_suffix(".gif"))


def enlarge(pictures: NDArray[np.uint8], height: int = _HEIGHT) -> NDArray[np.uint8]:
    """Return pictures (..., H, W, 3) repeated by the whole factor that brings them nearest to `height` pixels."""
    factor = max(1, round(height / pictures.shape[-3]))
    return np.repeat(np.repeat(pictures, factor, axis=-3), factor, axis=-2)


def _pages(
    frames: NDArray[np.uint8],
    goals: NDArray[np.uint8],
    success: Sequence[bool] | None,
    figures: Sequence[str] | None,
    views: NDArray[np.uint8] | None,
    titles: Sequence[str] | None,
    aims: NDArray[np.uint8] | None,
) -> Iterator[NDArray[np.uint8]]:
    for index, (seen, goal) in enumerate(zip(frames, goals, strict=True)):
        panels = [pictures[index] for pictures in (aims, frames, views) if pictures is not None]
        episode = [[panel[step] for panel in panels] for step in range(len(seen))]
        mark = None if success is None else bool(success[index])
        figure = "" if figures is None else figures[index]
        title = f"goal {index + 1} of {len(goals)}" if titles is None else titles[index]
        left, last = [title] if aims is None else [title, "subgoal"], len(episode) - 1
        for step, frame in enumerate(episode):
            yield _page(goal, frame, [*left, f"step {step}"], _INK)
        ending = {None: "", True: "reached", False: "missed"}[mark]
        page = _page(goal, episode[-1], [*left, "  ".join(t for t in (ending, figure) if t) or f"step {last}"], _colour(mark))
        for _ in range(HOLD):
            yield page


def _colour(mark: bool | None) -> tuple[int, int, int]:
    return _INK if mark is None else _GOOD if mark else _BAD


def _page(
    goal: NDArray[np.uint8], panels: Sequence[NDArray[np.uint8]], texts: Sequence[str], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Return goal and panels side by side with a text below each of the first ones, the last text in `colour`."""
    from PIL import Image, ImageDraw, ImageFont

    goal = enlarge(goal)
    height, width = goal.shape[:2]
    # H.264 in yuv420p needs even sides
    page_height, page_width = height + _MARGIN + _BAR, (1 + len(panels)) * (width + _MARGIN) + _MARGIN
    image = Image.new("RGB", (page_width + page_width % 2, page_height + page_height % 2), _BACK)
    image.paste(Image.fromarray(goal), (_MARGIN, _MARGIN))
    for index, panel in enumerate(panels, start=1):
        fitted = Image.fromarray(enlarge(panel)).resize((width, height), Image.Resampling.NEAREST)
        image.paste(fitted, (_MARGIN + index * (width + _MARGIN), _MARGIN))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    for index, text in enumerate(texts):
        fill = colour if index == len(texts) - 1 else _INK
        draw.text((_MARGIN + index * (width + _MARGIN), height + _MARGIN + 5), text, fill=fill, font=font)
    return np.asarray(image)


def _write_mp4(pages: Iterator[NDArray[np.uint8]], path: Path) -> Path:
    import imageio_ffmpeg

    temporary = path.with_name(f".{path.stem}.part.mp4")
    writer: Any = None
    try:
        for page in pages:
            if writer is None:
                size = (page.shape[1], page.shape[0])
                options = ["-crf", "20", "-preset", "fast", "-movflags", "+faststart"]
                writer = imageio_ffmpeg.write_frames(
                    str(temporary),
                    size,
                    fps=FPS,
                    codec="libx264",
                    pix_fmt_out="yuv420p",
                    macro_block_size=2,
                    ffmpeg_log_level="error",
                    output_params=options,
                )
                writer.send(None)
            writer.send(np.ascontiguousarray(page))
    finally:
        if writer is not None:
            writer.close()
    os.replace(temporary, path)
    return path


def _write_gif(pages: Iterator[NDArray[np.uint8]], path: Path) -> Path:
    from PIL import Image

    images = [Image.fromarray(page).quantize(64) for page in pages]
    temporary = path.with_name(f".{path.stem}.part.gif")
    images[0].save(temporary, save_all=True, append_images=images[1:], duration=1000 // FPS, loop=0)
    os.replace(temporary, path)
    return path
