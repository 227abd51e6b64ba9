"""Which keyword arguments a class takes."""

from __future__ import annotations

import inspect
from typing import Any


def keywords(found: Any) -> set[str]:
    """Return the keyword names that a class or function takes, those of a class's bases included where it passes ``**kwargs`` on."""
    names: set[str] = set()
    for owner in inspect.getmro(found) if inspect.isclass(found) else (found,):
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        if function is None or owner is object:
            continue
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}
