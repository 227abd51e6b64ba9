"""Small pieces of the page: numbers as people read them, pictures as data, sections."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def number(value: Any, name: str = "", digits: int = 3) -> str:
    """Return `value` with `digits` significant digits; a rate as per cent, a count with thin spaces, a missing value as a dash."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    if name.endswith(("_rate", "rate")):
        return f"{100 * value:.0f} %"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if abs(value) < 1e-4 or abs(value) >= 100:
        return f"{value:.{digits}g}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def span(bounds: Any, name: str = "") -> str:
    """Return an interval as ``lo–hi``, or an empty string when there is none."""
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        return ""
    if not all(isinstance(bound, (int, float)) and math.isfinite(bound) for bound in bounds):
        return ""
    low, high = (number(bound, name, digits=2) for bound in bounds)
    return f"{low.removesuffix(' %')}–{high}" if name.endswith("rate") else f"{low}–{high}"


def duration(seconds: Any) -> str:
    """Return seconds as hours, minutes and seconds, the two largest of them."""
    if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def data_uri(content: bytes | Path, kind: str) -> str:
    """Return file content as a ``data:`` address of the media type `kind`."""
    raw = content.read_bytes() if isinstance(content, Path) else content
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3 or 4) as PNG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def strip(rows: Sequence[NDArray[np.uint8]], gap: int = 2, columns: int | None = None) -> NDArray[np.uint8]:
    """Return pictures, each row (m, H, W, 3), laid out with `gap` faintly grey pixels between: (h, w, 4)."""
    columns = columns or max(len(row) for row in rows)
    height, width = rows[0].shape[1:3]
    sheet = np.zeros((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    sheet[:] = (128, 134, 142, 80)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width, :3] = picture
            sheet[top : top + height, left : left + width, 3] = 255
    return sheet


def picture(pixels: NDArray[np.uint8], alt: str) -> str:
    """Return an inline picture that fills its place, pixels kept sharp."""
    return f'<img class="pixels" alt="{escape(alt)}" src="{data_uri(png(pixels), "image/png")}">'


def section(title: str, lede: str, body: str) -> str:
    """Return a titled section, or nothing where `body` is empty."""
    return f'<section>\n<h2>{escape(title)}</h2>\n<p class="lede">{lede}</p>\n{body}\n</section>' if body else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], text: bool = False) -> str:
    """Return a table; cells are escaped here. `text` aligns all columns left."""
    mark = ' class="text"' if text else ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>{f"<thead><tr>{head}</tr></thead>" if header else ""}<tbody>{body}</tbody></table></div>'
