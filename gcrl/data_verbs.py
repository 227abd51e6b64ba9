"""The command ``gcrl data``: its verbs, their settings as KEY=VALUE, and what each prints. Heavy imports wait for the verb."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from envs.errors import UserError, did_you_mean
from gcrl.json_text import as_json_text
from gcrl.typed import from_mapping

EXAMPLES = """examples:
  gcrl data check data.h5
  gcrl data play data.h5 --out sheet.png --episodes 0,5,10-12
  gcrl data merge day1.h5 day2.h5 out=both.h5
  gcrl data split data.h5 train=0.8 validation=0.1 held_out=0.1 seed=0
  gcrl data export data.h5 format=robomimic out=data.hdf5
  gcrl data import D4RL/pointmaze/umaze-v2 out=maze.h5
"""
T = TypeVar("T")


@dataclass
class Play:
    """Settings of ``gcrl data play``, as in `gcrl.data.play.play`."""

    out: str | None = None
    episodes: str | None = None
    key: str = "image"
    overwrite: bool = False


@dataclass
class Merge:
    """Settings of ``gcrl data merge``."""

    out: str
    overwrite: bool = False


@dataclass
class Split:
    """Settings of ``gcrl data split`` beside the fractions, as in `gcrl.data.split.split`."""

    seed: int = 0
    by: str = "goal"
    overwrite: bool = False


@dataclass
class Export:
    """Settings of ``gcrl data export``, as in `gcrl.data.exchange.export`."""

    out: str
    format: str
    split: str | None = None
    keys: str | None = None
    overwrite: bool = False


@dataclass
class Import:
    """Settings of ``gcrl data import``, as in `gcrl.data.exchange.import_`."""

    out: str
    format: str = "minari"
    provenance: str = "scripted"
    overwrite: bool = False


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Give the parser of ``gcrl data`` its verbs."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))

    def verb(name: str, do: Callable[[argparse.Namespace], int], summary: str, settings: str = "") -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=summary)
        added.set_defaults(do=do)
        if name != "merge":
            added.add_argument("file", metavar="FILE", type=Path, help="a dataset, such as practice.h5 in a run folder")
        if settings:
            added.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=settings)
        return added

    added = verb("info", _info, "describe a dataset file")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("check", _check, "look for everything that can be wrong in a dataset; exit code 1 if something is")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("play", _play, "make a film or a contact sheet of episodes", "out, episodes, key (image), overwrite (false)")
    added.add_argument("--out", metavar="PATH", help="film.mp4 or sheet.png (default: FILE with .mp4)")
    added.add_argument("--episodes", metavar="LIST", help="such as 0,3,10-12 (default: some from all over the file)")
    added = verb("merge", _merge, "write several datasets as one", "datasets A.h5 B.h5 ..., then out, overwrite (false)")
    _lossy(added, "of what differs between the files keep the first's")
    names = "NAME=FRACTION ..., seed (0), by (goal: equal goals stay together; or episode), overwrite (false)"
    verb("split", _split, "divide the episodes into splits such as train=0.9 validation=0.1", names)
    added = verb(
        "export", _export, "write a dataset for another package", "format (minari, robomimic, ogbench), out, split, keys, overwrite"
    )
    _lossy(added, "leave out what the format has no place for")
    added = verb("import", _import, "read another package's dataset", "out, format (minari), provenance (scripted), overwrite (false)")
    _lossy(added, "leave out what our format has no place for")


def _lossy(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--lossy", action="store_true", help=summary)


def _info(given: argparse.Namespace) -> int:
    from gcrl.data import describe, info

    print(as_json_text(info(given.file)) if given.json else describe(given.file))
    return 0


def _check(given: argparse.Namespace) -> int:
    from gcrl.data.check import check

    report = check(given.file)
    print(as_json_text(report.as_json()) if given.json else report.as_text())
    return 1 if report.findings else 0


def _play(given: argparse.Namespace) -> int:
    from gcrl.data.play import play

    words = [*given.settings, *(f"{name}={value}" for name in ("out", "episodes") if (value := getattr(given, name)) is not None)]
    settings = _settings(Play, words)
    print(play(given.file, settings.out, episodes=settings.episodes, key=settings.key, overwrite=settings.overwrite))
    return 0


def _merge(given: argparse.Namespace) -> int:
    from gcrl.data.merge import merge

    files = [word for word in given.settings if "=" not in word]
    settings = _settings(Merge, [word for word in given.settings if "=" in word])
    print(merge(files, settings.out, overwrite=settings.overwrite, lossy=given.lossy))
    return 0


def _split(given: argparse.Namespace) -> int:
    from gcrl.data.split import split

    pairs = _pairs(given.settings)
    options = ("seed", "by", "overwrite")
    chosen = _settings(Split, [f"{key}={value}" for key, value in pairs.items() if key in options])
    fractions = {key: _fraction(key, value, options) for key, value in pairs.items() if key not in options}
    counts = split(given.file, fractions, seed=chosen.seed, by=chosen.by, overwrite=chosen.overwrite)
    print(", ".join(f"{name} {count:,} episodes" for name, count in counts.items()))
    return 0


def _fraction(key: str, value: str, options: Sequence[str]) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{key}={value}: expected the fraction of split '{key}'{did_you_mean(key, options)}") from None


def _export(given: argparse.Namespace) -> int:
    from gcrl.data.exchange import export

    to = _settings(Export, given.settings)
    print(export(given.file, to.out, to.format, split=to.split, keys=to.keys, lossy=given.lossy, overwrite=to.overwrite))
    return 0


def _import(given: argparse.Namespace) -> int:
    from gcrl.data.exchange import import_

    to = _settings(Import, given.settings)
    print(import_(given.file, to.out, to.format, provenance=to.provenance, lossy=given.lossy, overwrite=to.overwrite))
    return 0


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """Return {key: value} of words KEY=VALUE; `UserError` for others."""
    for word in words:
        if "=" not in word or not word.partition("=")[0].isidentifier():
            raise UserError(f"cannot read '{word}'; expected KEY=VALUE")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _settings(cls: type[T], words: Sequence[str]) -> T:
    """Return the dataclass `cls` filled from words KEY=VALUE; texts are taken as typed, the rest read as YAML."""
    hints = get_type_hints(cls)
    texts: tuple[Any, ...] = (str, str | None)
    values = {key: value if hints.get(key) in texts else yaml.safe_load(value) for key, value in _pairs(words).items()}
    return from_mapping(cls, values, "")
