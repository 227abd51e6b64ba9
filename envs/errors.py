"""One-line errors for people: what was given, what was expected, the nearest valid choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user gave is wrong. The message is one line, whatever it quotes; the command line prints it and exits with code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class NoGoal(RuntimeError):
    """A task can propose no goal, or none that is free of penetration: something is wrong with it, or with how things came to stand."""


def did_you_mean(given: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest of `choices`, or ``""`` when none is near."""
    near = difflib.get_close_matches(str(given), [str(choice) for choice in choices], n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


def unknown(kind: str, given: str, choices: Iterable[str]) -> UserError:
    """Build the error for a name that is not among `choices`: it lists them and names the nearest."""
    names = sorted(str(choice) for choice in choices)
    if not names:
        return UserError(f"unknown {kind} '{given}': there is none at all")
    return UserError(f"unknown {kind} '{given}'{did_you_mean(given, names)}; expected one of: {', '.join(names)}")
