"""The report opens anywhere, says what the run measured, and copes with runs that are short, broken off or without pictures."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import UserError
from gcrl.data import Header, Writer
from gcrl.episodes import Episodes
from gcrl.report import film, write_report
from gcrl.report.figures import interval
from gcrl.report.film import HOLD
from gcrl.report.learning import curve
from gcrl.report.markup import duration, number, strip
from gcrl.report.page import several_runs
from gcrl.report.runs import RunRecord, label_runs, load_run, unit_of

SIZE, HORIZON = 24, 12
FACTORS = ["door_angle_rad", "hand_m"]


def draw(angle: float, hand: float, size: int = SIZE) -> np.ndarray:
    """Draw a door as a line from its hinge and a hand as a square: enough for a picture that means something."""
    picture = np.full((size, size, 3), 205, np.uint8)
    picture[int(0.7 * size) :] = (150, 140, 125)
    for along in np.linspace(0, 0.55, 80):
        row, column = int((0.62 - along * np.sin(angle)) * size), int((0.2 + along * np.cos(angle)) * size)
        picture[row : row + max(1, size // 16), column] = (60, 100, 190)
    at = int(hand * (size - 5))
    picture[size // 6 : size // 6 + max(2, size // 8), at : at + max(2, size // 8)] = (210, 90, 60)
    return picture


def make_run(
    path: Path, *, seed: int = 1, epochs: int = 6, images: bool = True, evaluated: bool = True, size: int = SIZE, extra: str = ""
) -> Path:
    """Write a run folder as a run of `epochs` epochs leaves it, door angles and pictures included."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(
        f"experiment: door\nseed: {seed}\nrun_dir: {path}\nenv_id: gcrl/Door-v0\npractice: {{epochs: {epochs}}}\n"
        f"representation: {{target: 'representations.vae:VAE', arguments: {{latent_dim: 16}}}}\n"
        f"goal_sampler: {{target: 'goal_samplers.skewfit:SkewFit', arguments: {{alpha: -1}}}}\n"
        f"agent: {{target: 'gcrl.agents.td3:TD3'}}\n{extra}"
    )
    (path / "command.txt").write_text(f"gcrl practice experiment=door seed={seed} run_dir=runs/door-{seed}\n")
    (path / "system.json").write_text(json.dumps({"date": "2026-05-01T10:20:30", "python": "3.12", "versions": {"torch": "2.13.0"}}))
    skill = lambda epoch: 1 / (1 + np.exp(-(epoch - epochs / 2) * 6 / epochs))  # noqa: E731
    with (path / "metrics.jsonl").open("w") as file:
        for epoch in range(epochs):
            noise = rng.normal(scale=0.05)
            row = {"epoch": epoch, "env_steps": (epoch + 1) * 400, "updates": epoch * 100, "wall_s": 10.0 * (epoch + 1), "episodes": 8}
            row |= {"agent/critic_loss": float(np.exp(-epoch / epochs) + abs(noise)), "agent/q_mean": -5 + epoch * 0.3, "goals/ess": 0.4}
            row |= {"representation/heldout_mse": 0.02 * np.exp(-epoch), "goals/coverage": float(skill(epoch)), "collector/restarts": 0}
            row |= {"time/collect_s": 3.0, "time/update_s": 5.5, "time/refit_s": 3.0 if epoch == 1 else 0.0}
            if epoch % 2 == 1 or epochs == 1:
                row |= {"eval/success_rate": float(np.clip(skill(epoch) + noise, 0, 1)), "eval/distance": 0.4 * (1 - skill(epoch))}
                row |= {"eval/door_angle_error": 0.4 * (1 - skill(epoch)) + 0.03, "eval/env_steps": (epoch + 1) * 400}
            file.write(json.dumps(row) + "\n")
    write_practice(path / "practice.h5", rng, epochs, images, size)
    if evaluated:
        write_evaluation(path, rng, images, size)
    return path


def write_practice(path: Path, rng: np.random.Generator, epochs: int, images: bool, size: int) -> None:
    """Write the practice dataset with the writer that practice uses; the first of several epochs is at random, without goals."""
    n, shape = 8, (size, size, 3)
    spaces = {key: gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    if images:
        spaces["image"] = gymnasium.spaces.Box(0, 255, shape, np.uint8)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    header = Header("gcrl/Door-v0", {}, gymnasium.spaces.Dict(spaces), action_space, goal_dim=2, image_goal=images, factors=FACTORS)
    with Writer(path, header) as writer:
        for epoch in range(epochs):
            reach = 0.05 + 0.85 * (epoch + 1) / epochs
            ends = np.stack([rng.uniform(0, reach, n), rng.uniform(0, 1, n)], axis=1).astype(np.float32)
            achieved = ends[:, None] * np.linspace(0, 1, HORIZON + 1, dtype=np.float32)[None, :, None]
            at_random = epoch == 0 and epochs > 1
            goals = np.full_like(ends, np.nan) if at_random else ends
            observations: dict[str, Any] = {"observation": achieved, "achieved_goal": achieved}
            goal_images = None
            if images:
                observations["image"] = np.stack([[draw(*state, size) for state in path] for path in achieved])
                goal_images = np.zeros((n, *shape), np.uint8) if at_random else np.stack([draw(*goal, size) for goal in goals])
            counts = np.full(n, HORIZON)
            seeds = rows = np.arange(n)
            actions, ended = np.zeros((n, HORIZON, 2), np.float32), np.zeros((n, HORIZON), bool)
            kind = "random" if at_random else "practice"
            rewards = np.zeros((n, HORIZON), np.float32)
            known = np.where(rng.random((n, 1)) < 0.3, np.nan, goals)
            writer.append(
                Episodes(
                    observations, actions, ended, counts, seeds, goals, rows, goal_images, known, rewards, epoch=epoch, provenance=kind
                )
            )


def write_evaluation(path: Path, rng: np.random.Generator, images: bool, size: int) -> None:
    """Write the final evaluation of 20 test goals, three of them filmed."""
    desired = np.stack([rng.uniform(0.15, 0.9, 20), rng.uniform(0, 1, 20)], axis=1)
    ends = desired + rng.normal(scale=0.05, size=desired.shape)
    achieved = ends[:, None] * np.minimum(1, np.linspace(0, 1.6, HORIZON + 1))[None, :, None]
    errors = np.abs(ends - desired)[:, 0]
    success = (errors < 0.06).astype(float)
    figures = {
        "success_rate": float(success.mean()),
        "success_rate_interval": [0.62, 0.95],
        "distance": 0.043,
        "distance_interval": [0.03, 0.05],
    }
    figures |= {"door_angle_error": 0.0412, "door_angle_error_interval": [0.031, 0.052]}
    untrained = {"success_rate": 0.05, "success_rate_interval": [0.0, 0.15], "distance": 0.5, "door_angle_error": 0.487}
    evaluation = {**figures, "episodes": 20, "goals": "test", "untrained": untrained, "env_steps": 2400, "updates": 600, "wall_s": 512.3}
    evaluation["by_task"] = {"open": {"success_rate": 0.6, "episodes": 7}, "close": {"success_rate": 1.0, "episodes": 13}}
    (path / "evaluation.json").write_text(json.dumps({**evaluation, "factors": FACTORS}))
    arrays: dict[str, Any] = {"achieved": achieved, "desired": desired, "success": success, "figure/door_angle_error": errors}
    if images:
        arrays["goal_images"] = np.stack([draw(*goal, size) for goal in desired])
        arrays["start_images"] = np.stack([draw(0, 0, size)] * 20)
        arrays["final_images"] = np.stack([draw(*end, size) for end in ends])
        arrays["frames"] = np.stack([[draw(*state, size) for state in path] for path in achieved[:3]])
        arrays["film_goal_images"] = arrays["goal_images"][:3]
    np.savez_compressed(path / "evaluation.npz", **arrays)


class References(HTMLParser):
    """Collects every address that a browser would follow, and checks that elements close in order."""

    VOID = frozenset({"meta", "img", "br", "link", "use", "path", "image"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.balanced = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "poster", "data", "srcset", "action", "xlink:href"}:
                self.addresses.append(value or "")
            self.addresses += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self.balanced &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> tuple[str, References]:
    page = path.read_text(encoding="utf-8")
    parsed = References()
    parsed.feed(page)
    return page, parsed


def assert_self_contained(path: Path) -> References:
    page, parsed = read(path)
    assert all(address.strip("\"'").startswith(("data:", "#")) for address in parsed.addresses)
    assert not re.search(r"@import|<script|<link|<iframe", page)
    assert parsed.balanced
    assert not parsed.open
    return parsed


def test_report_of_a_run_is_one_file_that_says_what_was_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path / "door-1")
    out = write_report([run])
    assert out == run / "report.html"
    parsed = assert_self_contained(out)
    text = " ".join("".join(parsed.text).split())
    success = json.loads((run / "evaluation.json").read_text())["success_rate"]
    for fact in (
        f"{100 * success:.0f} %",
        "62–95 %",
        "untrained 5 % (0–15 %)",
        "close100 %13",
        "0.0412 rad",
        "2 400 environment steps",
        "8 min 32 s",
        "2026-05-01 10:20",
    ):
        assert fact in text
    assert "gcrl practice experiment=door seed=1" in text
    for title in (
        "Learning curves",
        "Goals proposed over time",
        "Commanded goals",
        "What was achieved over time",
        "How the time was spent",
    ):
        assert title in text
    assert sum(address.startswith("data:video/mp4") for address in parsed.addresses) == 1
    assert (run / "videos" / "commanded_goals.mp4").is_file()


def test_losses_on_held_out_episodes_are_drawn_against_updates(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"epoch": e, "env_steps": 0, "updates": 100 * (e + 1), "validation/critic_loss": 1.0 / (e + 1)} for e in range(3)
    ]
    line = curve([RunRecord(tmp_path, {}, metrics=rows)], "validation/critic_loss")
    assert line is not None
    assert line.x.tolist() == [100, 200, 300]


def test_every_chart_is_well_formed_and_takes_the_page_colours(tmp_path: Path) -> None:
    page = write_report([make_run(tmp_path / "run")]).read_text()
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(charts) >= 6
    for chart in charts:
        ElementTree.fromstring(chart)
        assert "currentColor" in chart
        assert "#123456" not in chart


def test_state_only_run_shows_points_and_paths_instead_of_pictures(tmp_path: Path) -> None:
    parsed = assert_self_contained(write_report([make_run(tmp_path / "run", epochs=3, images=False)]))
    text = "".join(parsed.text)
    assert "Goals proposed over time" in text
    assert "Commanded goals" in text
    assert not any(address.startswith("data:video") for address in parsed.addresses)


def test_interrupted_run_and_run_of_one_epoch_are_reported(tmp_path: Path) -> None:
    interrupted = make_run(tmp_path / "interrupted", epochs=2, evaluated=False)
    with (interrupted / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "env_st')
    assert "No final evaluation yet" in "".join(assert_self_contained(write_report([interrupted])).text)
    short = assert_self_contained(write_report([make_run(tmp_path / "short", epochs=1)]))
    assert "Learning curves" in "".join(short.text)


def test_report_is_written_while_practice_still_holds_its_dataset(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=2, images=False, evaluated=False)
    with Writer(run / "practice.h5"):
        text = "".join(assert_self_contained(write_report([run])).text)
    assert "What was achieved over time" in text
    assert "could not be read" not in text


def test_run_that_has_only_its_settings_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("experiment: push\nseed: 3\n")
    assert "push" in "".join(assert_self_contained(write_report([tmp_path])).text)


def test_every_runs_film_stands_on_the_page_once(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, epochs=1) for name in ("door-1", "door-2")]
    page = write_report(folders).read_text()
    runs = [load_run(folder) for folder in folders]
    assert page.count("<video") == 2
    assert several_runs({"door": runs}).count("<video") == 2
    assert several_runs({"door": runs}, filmed=runs[0]).count("<video") == 1


def test_broken_files_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=2)
    content = (run / "practice.h5").read_bytes()
    (run / "practice.h5").write_bytes(content[: len(content) // 2])
    (run / "evaluation.npz").write_bytes(b"PK\x03\x04 not an archive")
    text = "".join(assert_self_contained(write_report([run])).text)
    assert "The practice data could not be read" in text
    assert "evaluation.npz could not be read" in text
    assert "Learning curves" in text


def test_several_seeds_are_averaged_and_each_is_listed(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"door-{seed}", seed=seed, epochs=2, images=False) for seed in (1, 2)]
    out = write_report(runs)
    assert out == tmp_path / "report.html"
    text = " ".join("".join(assert_self_contained(out).text).split())
    rates = [json.loads((run / "evaluation.json").read_text())["success_rate"] for run in runs]
    assert f"{100 * np.mean(rates):.0f} % success" in text or f"{100 * np.mean(rates):.0f} %success" in text
    assert all(run.name in text for run in runs)
    assert "band: its 95 % interval" in text


def test_runs_that_differ_in_a_setting_are_told_apart_by_it(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"{value}", epochs=2, images=False, extra=f"goals: {{alpha: {value}}}\n") for value in (-1, 0)]
    page, parsed = read(write_report(runs, tmp_path / "both.html"))
    assert "goals.alpha=-1" in page
    assert "goals.alpha=0" in page
    assert all("data:" in address[:5] or address.startswith("#") for address in parsed.addresses)


def test_a_folder_that_is_no_run_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    make_run(tmp_path / "door-1", epochs=1, images=False)
    with pytest.raises(UserError, match=r"door-11.*config\.yaml.*did you mean '.*door-1'"):
        write_report([tmp_path / "door-11"])
    with pytest.raises(UserError, match="at least one"):
        write_report([])


def test_text_from_a_run_cannot_become_markup(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=1, images=False)
    (run / "command.txt").write_text("gcrl practice note='<script>alert(1)</script>' $HOME ${x}")
    parsed = assert_self_contained(write_report([run]))
    assert "note='<script>alert(1)</script>' $HOME ${x}" in "".join(parsed.text)


def test_film_has_a_frame_for_every_step_with_the_goal_beside_it(tmp_path: Path) -> None:
    import imageio.v3 as imageio

    frames = np.stack([[draw(0.1 * t, t / HORIZON) for t in range(HORIZON + 1)] for _ in range(2)])
    goals = np.stack([draw(0.4, 0.9), draw(0.9, 0.1)])
    path = film(frames, goals, tmp_path / "videos" / "film.mp4", success=[True, False], figures=["0.02 rad", "0.5 rad"])
    video = imageio.imread(path)
    assert len(video) == 2 * (HORIZON + 1 + HOLD)
    scale = round(192 / SIZE)
    for number_of_film, goal in ((0, goals[0]), (HORIZON + 1 + HOLD, goals[1])):
        shown = video[number_of_film][8 : 8 + 192, 8 : 8 + 192][scale // 2 :: scale, scale // 2 :: scale]
        assert np.abs(shown.astype(int) - goal).mean() < 12
    shown = video[HORIZON][8 : 8 + 192, 16 + 192 : 16 + 384][scale // 2 :: scale, scale // 2 :: scale]
    assert np.abs(shown.astype(int) - frames[0, -1]).mean() < 12


def test_film_without_an_encoder_is_an_animated_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "missing"))
    frames, goals = np.zeros((1, 3, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    frames[0, :, :, 0] = np.arange(3)[:, None, None] * 80
    path = film(frames, goals, tmp_path / "film.mp4")
    assert path.suffix == ".gif"
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) >= 3


def test_film_refuses_frames_that_do_not_fit_the_goals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected \(f, T\+1, H, W, 3\)"):
        film(np.zeros((2, 3, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), tmp_path / "film.mp4")


def test_interval_is_the_students_interval_across_seeds() -> None:
    from scipy.stats import t

    values = np.array([[0.2, 0.5], [0.4, np.nan], [0.9, np.nan]])
    mean, low, high = interval(values)
    expected = t.interval(0.95, 2, values[:, 0].mean(), values[:, 0].std(ddof=1) / np.sqrt(3))
    assert (low[0], high[0]) == pytest.approx(expected)
    assert (mean[1], low[1], high[1]) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)


def test_numbers_read_as_people_write_them() -> None:
    assert [number(0.0412), number(12345.0), number(0.874, "success_rate"), number(float("nan"))] == ["0.0412", "12\u202f345", "87 %", "–"]
    assert [duration(4.2), duration(512.3), duration(7260)] == ["4.2 s", "8 min 32 s", "2 h 01 min"]


@given(st.floats(min_value=1e-9, max_value=1e9), st.booleans())
def test_a_shown_number_reads_back_to_three_digits(value: float, negative: bool) -> None:
    value = -value if negative else value
    assert float(number(value).replace("\u202f", "")) == pytest.approx(value, rel=0.0051)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 4))
def test_a_sheet_holds_every_picture_at_its_place(rows: int, columns: int, gap: int) -> None:
    pictures = np.arange(rows * columns, dtype=np.uint8)[:, None, None, None] + np.zeros((4, 6, 3), np.uint8)
    sheet = strip(list(pictures.reshape(rows, columns, 4, 6, 3)), gap=gap)
    assert sheet.shape == (rows * (4 + gap) - gap, columns * (6 + gap) - gap, 4)
    for index in range(rows * columns):
        top, left = index // columns * (4 + gap), index % columns * (6 + gap)
        assert (sheet[top : top + 4, left : left + 6, :3] == index).all()


def test_settings_that_differ_name_the_runs_and_seeds_do_not(tmp_path: Path) -> None:
    for name, config in {"a": "seed: 1\nagent: {lr: 1}", "b": "seed: 2\nagent: {lr: 1}", "c": "seed: 1\nagent: {lr: 2}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"experiment: push\n{config}\n")
    runs = [load_run(tmp_path / name) for name in "abc"]
    assert label_runs(runs) == ["agent.lr=1", "agent.lr=1", "agent.lr=2"]
    assert label_runs(runs[:2]) == ["push", "push"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text("experiment: push\nagent: {target: 'my:IQL', lr: 1, expectile: 0.7}\n")
    (tmp_path / "a" / "config.yaml").write_text("experiment: push\nagent: {target: 'my:SAC', lr: 1, tau: 0.01}\n")
    assert label_runs([load_run(tmp_path / "a"), load_run(other)]) == ["agent=SAC", "agent=IQL"]


def test_a_figure_takes_the_unit_of_the_factor_it_measures() -> None:
    assert unit_of("door_angle_rad") == ("door angle", "rad")
    assert unit_of("door_angle_error", ["hand_m", "door_angle_rad"]) == ("door angle error", "rad")
    assert unit_of("distance", ["hand_m"]) == ("distance", "")
