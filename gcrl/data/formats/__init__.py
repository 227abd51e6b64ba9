"""Other packages' dataset formats by name: each module here is a format, with a class `Exporter`, a class `Importer`, or both.

A format of one's own is named ``module:Class``, or registered under the entry points ``gcrl.exporters`` and ``gcrl.importers``.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any

from envs.errors import unknown
from gcrl.build import build
from gcrl.data.formats.api import Exporter, Importer
from gcrl.settings import Choice

PROTOCOLS: dict[str, Any] = {"Exporter": Exporter, "Importer": Importer}


def available(kind: str) -> dict[str, str]:
    """Return {name: ``module:Class``} of the formats that have a `kind` ("Exporter" or "Importer")."""
    own = {item.name: f"{__name__}.{item.name}:{kind}" for item in pkgutil.iter_modules(__path__) if item.name != "api"}
    own = {name: target for name, target in own.items() if hasattr(importlib.import_module(target.partition(":")[0]), kind)}
    return {entry.name: entry.value for entry in entry_points(group=f"gcrl.{kind.lower()}s")} | own


def exporter(name: str) -> Exporter:
    """Return the exporter `name`; raises `UserError` for an unknown one."""
    found: Exporter = _build(name, "Exporter")
    return found


def importer(name: str) -> Importer:
    """Return the importer `name`; raises `UserError` for an unknown one."""
    found: Importer = _build(name, "Importer")
    return found


def _build(name: str, kind: str) -> Any:
    known = available(kind)
    if name not in known and ":" not in name:
        raise unknown("format", name, known)
    return build(Choice(known.get(name, name)), PROTOCOLS[kind], "format")
