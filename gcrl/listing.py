"""`gcrl list`: what there is to choose from, read from the configuration files themselves."""

from __future__ import annotations

import inspect
import re

from envs.errors import unknown
from gcrl.overrides import CONF, choices, groups, registered
from gcrl.settings import Practice


def listing(group: str | None = None, choice: str | None = None) -> str:
    """Return all groups, the choices of one, or one choice's file with its comments; `UserError` for an unknown name."""
    if group is None:
        names = "\n".join(f"{name:16}{', '.join(choices(name))}" for name in groups())
        return f"{names}\n{'practice':16}the loop's own fields\n\nMore: gcrl list GROUP, gcrl list GROUP CHOICE"
    if group == "practice":
        return _practice_fields()
    if group not in groups():
        raise unknown("group", group, [*groups(), "practice"])
    if choice is None:
        rows = as_json()[group]
        width = max(len(name) for name in rows) + 2
        return "\n".join(f"{name:{width}}{summary}" for name, summary in rows.items())
    if choice not in choices(group):
        raise unknown(group, choice, choices(group))
    return (CONF / group / f"{choice}.yaml").read_text(encoding="utf-8").rstrip()


def as_json() -> dict[str, dict[str, str]]:
    """Return {group: {choice: one line on it}}."""
    return {group: {name: _summary(group, name) for name in choices(group)} for group in groups()}


def _summary(group: str, choice: str) -> str:
    """Return the comment on a file's ``target:`` or ``id:`` line, or its first comment line."""
    if choice in registered(group):
        return f"installed plug-in {registered(group)[choice]}"
    text = (CONF / group / f"{choice}.yaml").read_text(encoding="utf-8")
    named = re.search(r"^(?:target|id): .*?# (.*)$", text, re.MULTILINE)
    if named:
        return named.group(1)
    comments = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ") and "@package" not in line]
    trailing = re.search(r"# (.*)$", text, re.MULTILINE)
    return comments[0] if comments else trailing.group(1) if trailing else ""


def _practice_fields() -> str:
    rows = re.findall(r"^    (\w+): [^=\n]+ = (.*?)(?:  # (.*))?$", inspect.getsource(Practice), re.MULTILINE)
    widths = [max(len(row[column]) for row in rows) + 2 for column in (0, 1)]
    return "\n".join(f"practice.{name:{widths[0]}}{default:{widths[1]}}{comment}".rstrip() for name, default, comment in rows)
