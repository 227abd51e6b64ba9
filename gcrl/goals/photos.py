"""A person's own pictures as goals: read, cropped and resized, and where each came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.goals.file import Columns

KINDS = (".png", ".jpg", ".jpeg")
RESIZE = "lanczos"


def find_photos(folder: Path) -> list[Path]:
    """Return the png and jpg files in `folder` by name; raises `UserError` where there are none."""
    if not folder.is_dir():
        raise UserError(f"photos={folder} is not a folder; expected one with pictures ({', '.join(KINDS)})")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in KINDS and path.is_file())
    if not found:
        raise UserError(f"photos={folder} has no picture in it; expected files that end in {', '.join(KINDS)}")
    return found


def photo_goals(paths: list[Path], size: int, crop: tuple[int, ...] | None, camera: str, goal_dim: int, task: str) -> Columns:
    """Return photos as the columns of a goal file; their states are unknown (NaN).

    Args:
        size: pixels of a side of the square pictures that come out.
        crop: (x, y, width, height) in pixels of the photo; None is the largest square in its middle.
        camera: under which name the pictures are stored. goal_dim: g. task: the task's name.

    Raises:
        UserError: a photo cannot be read, or the crop does not lie within it; the line names it.
    """
    from PIL import Image

    pictures, crops, sizes = [], [], []
    for path in paths:
        photo = _read(path)
        height, width = photo.shape[:2]
        side = min(height, width)
        x, y, w, h = crop or ((width - side) // 2, (height - side) // 2, side, side)
        if min(w, h) < 1 or min(x, y) < 0 or x + w > width or y + h > height:
            raise UserError(f"{path} is {width} x {height} pixels, crop={[x, y, w, h]} does not lie within; expected [x, y, width, height]")
        # Cropped first: the filter would otherwise draw in what lies beyond the crop.
        small = Image.fromarray(np.ascontiguousarray(photo[y : y + h, x : x + w])).resize((size, size), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(small))
        crops.append((x, y, w, h))
        sizes.append((width, height))
    n = len(paths)
    return {
        "goals/achieved": np.full((n, goal_dim), np.nan, np.float32),
        f"goals/images/{camera}": np.stack(pictures),
        "goals/source": np.array([path.name for path in paths]),
        "goals/crop": np.array(crops, np.int32),
        "goals/original_size": np.array(sizes, np.int32),
        "goals/task": np.array([task] * n),
        "goals/objects": np.array(["[]"] * n),
    }


def _read(path: Path) -> NDArray[np.uint8]:
    """Return a photo as (H, W, 3) uint8, turned upright where the camera noted how it was held."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as photo:
            return np.ascontiguousarray(ImageOps.exif_transpose(photo).convert("RGB"), np.uint8)
    except UnidentifiedImageError:
        reason = "it is no picture, whatever its name says" if path.stat().st_size else "it is empty"
    except Exception as error:  # decoders raise all kinds of things at broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(f"cannot read the photo {path}: {reason}; expected a png or jpg picture")
