"""One self-contained HTML page about one run, or about several runs (seeds, settings) together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from envs.errors import UserError
from gcrl.report.commanded import commanded_section, film_figure
from gcrl.report.headline import headline, runs_table
from gcrl.report.learning import learning_section, time_section
from gcrl.report.markup import section, table
from gcrl.report.practice_sections import coverage_section, proposals_section
from gcrl.report.practised import Practised, read_practised
from gcrl.report.runs import RunRecord, flat, label_runs, load_run


def write_report(run_dirs: Sequence[Path | str], out: Path | str | None = None) -> Path:
    """Write the report of one or several runs as one self-contained HTML file and return its path.

    `out` defaults to ``report.html`` in the run folder, or in the first run's parent folder for several runs. What a run has
    not written yet (evaluation, pictures) is left out. Raises `UserError` when a path is no run folder.
    """
    if isinstance(run_dirs, (str, Path)):
        run_dirs = [run_dirs]
    if not run_dirs:
        raise UserError("no run given; expected at least one run folder")
    runs = [load_run(path) for path in dict.fromkeys(Path(path) for path in run_dirs)]
    target = Path(out) if out is not None else (runs[0].path if len(runs) == 1 else runs[0].path.parent) / "report.html"
    groups: dict[str, list[RunRecord]] = {}
    for run, label in zip(runs, label_runs(runs), strict=True):
        groups.setdefault(label, []).append(run)
    body = _one(runs[0]) if len(runs) == 1 else several_runs(groups, filmed=runs[0])
    title = " and ".join(dict.fromkeys(run.experiment for run in runs)) + " · gcrl report"
    return write_page(target, title, headline(groups, film_figure(runs[0])), body, [run.path for run in runs])


def write_page(target: Path, title: str, head: str, body: str, sources: Sequence[Path]) -> Path:
    """Write one self-contained page at once; `head` and `body` are HTML, `sources` the run folders that it was made from."""
    templates = files("gcrl.report")
    page = Template((templates / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(templates / "page.css").read_text(encoding="utf-8"),
        headline=head,
        sections=body,
        footer=f"Written by gcrl from {', '.join(escape(str(path)) for path in sources)}.",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, target)
    return target


def _one(run: RunRecord) -> str:
    practised = _practised(run)
    parts = [
        learning_section({run.experiment: [run]}),
        proposals_section(run, practised) if practised else "",
        commanded_section(run),
        coverage_section(run, practised) if practised else "",
        time_section(run),
        _settings(run),
    ]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in run.notes)
    return notes + "\n".join(parts)


def several_runs(groups: dict[str, list[RunRecord]], filmed: RunRecord | None = None) -> str:
    """Return curves and the table over all runs, then each by itself, folded away; the film of `filmed` stands elsewhere on the page."""
    runs = [run for group in groups.values() for run in group]
    parts = [learning_section(groups), section("Every run", "The final evaluation on test goals, per run.", runs_table(groups))]
    labels = {id(run): label for label, group in groups.items() for run in group}
    for run in runs:
        practised = _practised(run)
        pieces = [
            "" if run is filmed else film_figure(run),
            commanded_section(run),
            *_practice(run, practised),
            time_section(run),
            _settings(run),
        ]
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in run.notes)
        label = labels[id(run)] if len(groups) > 1 else run.experiment
        summary = f"{label}, seed {run.seed} · {run.path.name}"
        parts.append(f"<details><summary>{escape(summary)}</summary>{notes}{''.join(pieces)}</details>")
    return "\n".join(parts)


def _practice(run: RunRecord, practised: Practised | None) -> list[str]:
    return [proposals_section(run, practised), coverage_section(run, practised)] if practised else []


def _practised(run: RunRecord) -> Practised | None:
    if run.practice_file is None:
        return None
    try:
        practised = read_practised(run.practice_file)
    except (UserError, OSError, KeyError) as error:  # a report of a broken run must still open
        run.notes.append(f"The practice data could not be read: {error}")
        return None
    return practised if len(practised.episode_epochs) else None


def _settings(run: RunRecord) -> str:
    """Return configuration and versions, folded away."""
    config = (run.path / "config.yaml").read_text()
    system = [[key, str(value)] for key, value in flat(run.system).items()]
    body = f"<details><summary>Configuration (config.yaml)</summary><pre>{escape(config)}</pre></details>"
    if system:
        body += f"<details><summary>Versions and machine</summary>{table([], system, text=True)}</details>"
    return section("To do it again", "Everything that the run was made of.", body)
