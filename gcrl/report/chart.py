"""Charts as inline SVG whose text and lines take the page's colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, cast

# Placeholder colours that the page's style sheet replaces, so that one chart serves light and dark pages.
_INK, _LINE = "#123456", "#abcdef"
GOOD, BAD, GREY = "#2f9e6e", "#d1495b", "#8a8f98"
COLOURS = ("#3b7dd8", "#e08a2c", "#2f9e6e", "#9b5fc0", "#d1495b", "#4aa8b5")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gcrl",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def chart(draw: Callable[[Any], None], size: tuple[float, float] = (3.9, 2.4), title: str = "", alt: str = "") -> str:
    """Return what `draw(axes)` draws as an inline ``<svg>`` that fills the width of its place."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title)
        draw(axes)
        buffer = io.StringIO()
        # metadata would carry a date and addresses of vocabularies into the page
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' (xmlns(:xlink)?)="[^"]*"', "", text).replace("xlink:href", "href")
    text = text.replace(_INK, "currentColor").replace(_LINE, "var(--line)")
    return text.replace("<svg", f'<svg class="chart" role="img" aria-label="{alt or title}"', 1)
