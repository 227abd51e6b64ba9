"""A contact sheet: labelled rows of pictures in one PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.report.film import enlarge

_GAP, _BAR = 4, 20
_BACK, _INK = (24, 26, 30), (214, 218, 224)


def sheet(rows: Sequence[tuple[str, NDArray[np.uint8]]], path: Path | str, *, height: int = 96) -> Path:
    """Write `rows`, each a label and pictures (n, H, W, 3) uint8, to the PNG `path` and return it.

    Pictures are enlarged by the whole factor that brings them nearest to `height` pixels, nearest neighbour. Raises `UserError` where there
    is nothing to show.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not rows or not all(len(pictures) for _, pictures in rows):
        raise UserError("nothing to show on a contact sheet; expected at least one picture a row")
    large = [(label, enlarge(pictures, height)) for label, pictures in rows]
    width = max(len(pictures) * (pictures.shape[2] + _GAP) for _, pictures in large) + _GAP
    page = Image.new("RGB", (width, sum(_BAR + pictures.shape[1] + _GAP for _, pictures in large) + _GAP), _BACK)
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(size=12), _GAP
    for label, pictures in large:
        draw.text((_GAP, top + 2), label, fill=_INK, font=font)
        for index, picture in enumerate(pictures):
            page.paste(Image.fromarray(picture), (_GAP + index * (picture.shape[1] + _GAP), top + _BAR))
        top += _BAR + pictures.shape[1] + _GAP
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.part.png")
    page.save(temporary)
    os.replace(temporary, path)
    return path
