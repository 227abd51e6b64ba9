"""What ``--json`` prints: JSON that any reader takes."""

from __future__ import annotations

import json
import math
from typing import Any


def as_json_text(found: Any) -> str:
    """Return `found` as JSON; a figure that is no finite number is null."""
    return json.dumps(_plain(found), allow_nan=False)


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
