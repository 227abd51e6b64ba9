"""The report of a run: one self-contained HTML page, and the film of commanded goals."""

from __future__ import annotations

from gcrl.report.film import film
from gcrl.report.page import write_report

__all__ = ["film", "write_report"]
