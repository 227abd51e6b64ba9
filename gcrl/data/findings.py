"""What a check of a dataset found: one line each, with what and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something wrong. kind: one word for programs; where: HDF5 path and place; count: how many rows or episodes have it."""

    kind: str
    where: str
    what: str
    count: int = 1


@dataclass
class Report:
    """What ``gcrl data check`` has to say about one file; `findings` is empty where all is well."""

    path: str
    episodes: int = 0
    frames: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: str, what: str, count: int = 1) -> None:
        """Note a finding."""
        self.findings.append(Finding(kind, where, what, count))

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"ok": not self.findings, **asdict(self)}

    def as_text(self) -> str:
        """Return one line for each finding, and a first line that sums up."""
        n = len(self.findings)
        found = "nothing wrong" if n == 0 else f"{n} finding{'s' * (n > 1)}"
        lines = [f"{self.path}: {found} in {self.episodes:,} episodes, {self.frames:,} frames"]
        return "\n".join(lines + [f"{item.kind:<10} {item.where}: {item.what}" for item in self.findings])
