"""The command ``gcrl``: verbs, their help, one-line errors. Everything heavy is imported by the verb that needs it."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from envs.errors import UserError, unknown
from gcrl.data_verbs import add_verbs
from gcrl.interrupt import interrupted_after
from gcrl.json_text import as_json_text

EPILOG = """examples:
  gcrl practice                                    the door, from images (experiment=door)
  gcrl practice experiment=push seed=2 run_dir=runs/push2
  gcrl practice goal_sampler=my_module:MySampler   a class of your own
  gcrl practice -m agent=sac,td3 seeds=3           six practices, one after another
  gcrl compare goal_sampler=skewfit,uniform seeds=5
  gcrl evaluate runs/push2 --json
  gcrl collect env=door policy=scripted episodes=2000 out=data.h5
  gcrl goals env=push n=5000 out=goals.h5
"""


class _Parser(argparse.ArgumentParser):
    """Argument errors in one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 a figure became infinite, 2 what was given is wrong or the disk full, 130 interrupted."""
    logging.basicConfig(format="gcrl: %(message)s", level=logging.WARNING)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
    except UserError as error:
        print(f"gcrl: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("gcrl: interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output has gone, as `gcrl list | head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"gcrl: the disk is full ({error.filename or 'while writing'}); free some space, then gcrl resume RUN", file=sys.stderr)
        code = 2
    sys.exit(code)


def _run(given: list[str]) -> int:
    parser = _parser()
    verbs = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    if given and not given[0].startswith("-") and given[0] not in (verbs or ()):
        raise unknown("command", given[0], verbs or ())
    parsed, rest = parser.parse_known_args(given)
    if hasattr(parsed, "settings"):  # argparse does not take KEY=VALUE that come after an option
        parsed.settings += [word for word in rest if not word.startswith("-")]
        rest = [word for word in rest if word.startswith("-")]
    if rest:
        raise UserError(f"unknown argument '{rest[0]}'; see gcrl {parsed.verb or ''} --help".replace("  ", " "))
    if parsed.verb is None:
        parser.print_help()
        return 0
    code = parsed.do(parsed)
    assert isinstance(code, int)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gcrl", description="A robot proposes its own goals, practises them, and reaches any goal it is shown.", epilog=EPILOG
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", title="commands", parser_class=_Parser)

    def verb(name: str, do: Any, summary: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=summary)
        added.set_defaults(do=do)
        return added

    added = verb("practice", _practice, "practise: a run folder with checkpoint, dataset and report comes out")
    added.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="experiment=NAME, GROUP=CHOICE, GROUP.FIELD=VALUE, seed=N, run_dir=PATH, ..."
    )
    added.add_argument("-m", "--multirun", action="store_true", help="run every combination of KEY=A,B,C one after another")
    added = verb("compare", _compare, "a race: practise several settings on equal budgets and seeds, and write one page that compares them")
    added.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=A,B,C",
        help="what is raced, such as goal_sampler=skewfit,mega; seeds=N and what else practice takes",
    )
    added.add_argument("--arm", action="append", default=[], metavar="'[NAME: ]KEY=VALUE ...'", help="one more arm, of several settings")
    added.add_argument("--jobs", type=int, default=1, metavar="N", help="practices side by side (default: 1)")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("resume", _resume, "go on with an interrupted run, exactly as if it had not been; or with a finished one, longer")
    _run_argument(added)
    added.add_argument("settings", nargs="*", metavar="practice.epochs=N", help="more epochs than it was made for")
    added = verb("evaluate", _evaluate, "command the test goals and say how many are reached")
    _run_argument(added)
    added.add_argument(
        "settings", nargs="*", metavar="planner.KEY=VALUE", help="other settings of the run's planner, or planner=none to go without"
    )
    added.add_argument("--episodes", type=int, metavar="N", help="number of goals (default: all of the split)")
    added.add_argument("--goals", metavar="FILE", type=Path, help="a file of `gcrl goals` (default: the committed test goals)")
    added.add_argument("--split", metavar="NAME", default="test", help="which of its goals (default: test)")
    added.add_argument("--analogies", action="store_true", help="show the policy an example in another scene instead of the goal")
    added.add_argument("--film", metavar="FILE.mp4", help="write a film of the first ten episodes, with the subgoals where the run plans")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("report", _report, "write report.html for one run, or a comparison of several")
    added.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="run folders")
    added.add_argument("--out", metavar="FILE", type=Path, help="where to write it (default: in the run folder)")
    added = verb("inspect", _inspect, "show what the latent space of a run holds: probes and distances")
    _run_argument(added)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    for name, do, summary, keys, page in (
        (
            "collect",
            _collect,
            "make a dataset of episodes with a random, scripted or practised policy",
            "policy=NAME episodes=N",
            "datasets",
        ),
        ("goals", _goals, "make a file of goals: pictures with their states, splits, a contact sheet", "n=N or photos=FOLDER", "goals"),
    ):
        added = verb(name, do, summary)
        added.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"env=NAME {keys} out=FILE, ...; see docs/{page}.md")
        added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("check", _check, "check that an environment, a representation or a goal sampler keeps its contract")
    added.add_argument(
        "name", metavar="MODULE:CLASS", help="a class of your own, an environment's id, representation=CHOICE or goal_sampler=CHOICE"
    )
    added.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="its arguments")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("new", _new, "write a goal sampler, representation or environment of your own and its test, to start from")
    added.add_argument("kind", metavar="KIND", help="sampler, representation or env")
    added.add_argument("name", metavar="NAME", help="such as my_sampler: the module's; its class is MySampler")
    add_verbs(verb("data", None, "look at datasets, check, merge, split, export and import them"))
    added = verb("list", _list, "show what there is to choose from")
    added.add_argument("group", nargs="?", metavar="GROUP", help="such as goal_sampler, experiment, practice")
    added.add_argument("choice", nargs="?", metavar="CHOICE", help="show this choice's fields")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added = verb("doctor", _doctor, "check that everything that a run needs is here")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")


def _practice(given: argparse.Namespace) -> int:
    from gcrl.several import plan, practise_all

    plans = plan(given.overrides, given.multirun)
    if len(plans) > 1:
        return practise_all(plans)
    from gcrl.config import check_parts, load_settings

    settings = load_settings(plans[0])
    check_parts(settings)
    from gcrl.practice import practice

    return _until_it_ends(lambda: practice(settings), settings.run_dir)


def _compare(given: argparse.Namespace) -> int:
    from gcrl.race import command_line, compare

    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    found = compare(given.settings, given.arm, given.jobs, say, command_line(given.settings, given.arm, given.jobs))
    print(as_json_text(found) if given.json else found["page"])
    return 1 if found["failed"] else 0


def _resume(given: argparse.Namespace) -> int:
    _require_run(given.run)
    from gcrl.practice import resume

    return _until_it_ends(lambda: resume(given.run, given.settings), given.run)


def _until_it_ends(run: Callable[[], Path], folder: Path | str) -> int:
    """Run a practice and print its folder; a figure that is not finite ends it in one line that names the culprit."""
    from gcrl.learner import NotFinite

    try:
        print(run())
    except NotFinite as error:
        print(f"gcrl: practice stopped: {error}; the last good checkpoint is in {folder}/checkpoint", file=sys.stderr)
        return 1
    return 0


def _evaluate(given: argparse.Namespace) -> int:
    _require_run(given.run)
    from gcrl.evaluate import evaluate_run

    figures = evaluate_run(given.run, given.episodes, given.split, given.goals, given.analogies, given.film, given.settings)
    return _made(figures, given.json)


def _report(given: argparse.Namespace) -> int:
    for run in given.runs:
        _require_run(run)
    from gcrl.report import write_report

    print(write_report(given.runs, given.out))
    return 0


def _inspect(given: argparse.Namespace) -> int:
    _require_run(given.run)
    from gcrl.inspect_run import inspect_run

    print(as_json_text(inspect_run(given.run, json=True)) if given.json else inspect_run(given.run))
    return 0


def _collect(given: argparse.Namespace) -> int:
    with interrupted_after():
        from gcrl.collect import collect

    return _made(collect(given.overrides), given.json)


def _goals(given: argparse.Namespace) -> int:
    with interrupted_after():
        from gcrl.goals import make_goals

    return _made(make_goals(given.overrides), given.json)


def _made(figures: dict[str, Any], as_json: bool) -> int:
    print(as_json_text(figures) if as_json else _table(figures))
    return 0


def _check(given: argparse.Namespace) -> int:
    from gcrl.check import as_text, check

    report = check(given.name, given.overrides)
    print(as_json_text(report) if given.json else as_text(report))
    return 0 if report["ok"] else 1


def _new(given: argparse.Namespace) -> int:
    from gcrl.new import new

    print(new(given.kind, given.name))
    return 0


def _list(given: argparse.Namespace) -> int:
    from gcrl.listing import as_json, listing

    text = listing(given.group, given.choice)
    print(as_json_text(as_json()) if given.json else text)
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from gcrl import doctor

    findings = doctor.examine()
    print(as_json_text(doctor.as_json(findings)) if given.json else doctor.as_text(findings))
    return 0 if doctor.as_json(findings)["ok"] else 1


def _require_run(run: Path) -> None:
    if not (run / "config.yaml").is_file():
        near = sorted(path.parent for path in run.glob("*/config.yaml"))
        raise UserError(f"{run} is not a run folder (no config.yaml)" + (f"; did you mean {near[0]}?" if near else ""))


def _table(figures: dict[str, Any]) -> str:
    rows: dict[str, Any] = {}
    for name, value in figures.items():
        rows |= {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    width = max(len(name) for name in rows)
    return "\n".join(f"{name.replace('_', ' '):{width}}  {_figure(value)}" for name, value in rows.items())


def _figure(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_figure(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _version() -> str:
    from importlib.metadata import version

    return f"gcrl {version('gcrl')}"


if __name__ == "__main__":
    main()
