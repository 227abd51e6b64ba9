"""What a run writes as it goes: metrics that survive a crash, and a progress line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gcrl.metrics_log import MetricsLog, read_metrics
from gcrl.progress import Progress, duration


def write(folder: Path, epochs: range, keep_epochs: int | None = None, offset: float = 0.0) -> None:
    log = MetricsLog(folder, keep_epochs)
    for epoch in epochs:
        log.write(epoch, {"env_steps": 100 * (epoch + 1), "loss": torch.tensor(epoch + offset), "entropy": np.float32(0.5), "name": "x"})
    log.close()


def test_metrics_are_one_plain_object_an_epoch(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_metrics(tmp_path)
    assert read_metrics(tmp_path)[1] == {"epoch": 1, "env_steps": 200, "loss": 1.0, "entropy": 0.5, "name": "x"}


def test_what_is_not_finite_is_null_so_that_every_reader_reads_it(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(0, {"nan": float("nan"), "inf": np.array([1.0, np.inf]), "nested": {"tensor": torch.tensor(float("-inf"))}})
    log.close()
    assert read_metrics(tmp_path) == [{"epoch": 0, "nan": None, "inf": [1.0, None], "nested": {"tensor": None}}]


def test_a_resumed_run_rewrites_from_its_checkpoint_on(tmp_path: Path) -> None:
    write(tmp_path, range(4))
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "los')  # torn by a crash
    write(tmp_path, range(2, 4), keep_epochs=2, offset=10.0)
    assert [(row["epoch"], row["loss"]) for row in read_metrics(tmp_path)] == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0)]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(100, 0.0), (200, 1.0), (300, 12.0), (400, 13.0)]


def test_tensorboard_advances_while_no_environment_steps_are_made(tmp_path: Path) -> None:
    rows = [{"env_steps": max(0, 80 * (epoch - 1)), "updates": 10 * (epoch + 1), "loss": float(epoch)} for epoch in range(4)]
    for epochs, keep_epochs in ((range(4), None), (range(3, 4), 3), (range(1, 4), 1)):  # whole, and resumed after and before the switch
        log = MetricsLog(tmp_path, keep_epochs)
        for epoch in epochs:
            log.write(epoch, rows[epoch])
        log.close()
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.0), (20, 1.0), (100, 2.0), (180, 3.0)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_epoch_is_a_plain_line_with_rate_eta_and_last_success() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(total=4, stream=stream, clock=clock)
    for epoch, success in enumerate([None, 0.25, None]):
        clock.now += 10
        progress.phase("update")
        progress.epoch(1000 * (epoch + 1), success)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[2] == "epoch 3/4  3,000 steps  100 steps/s  success 0.25  0:30 taken, 0:10 left"
    assert "success" not in lines[0]
    assert "\r" not in stream.getvalue()


def test_a_resumed_run_is_timed_from_its_resumption() -> None:
    clock = Clock()
    progress = Progress(total=10, done=8, env_steps=8000, stream=io.StringIO(), clock=clock)
    assert progress.seconds_left() is None
    clock.now += 5
    progress.epoch(9000)
    assert progress.seconds_left() == 5
    assert "200 steps/s" in progress.line()


def test_time_left_never_exceeds_the_limit() -> None:
    clock = Clock()
    progress = Progress(total=100, limit=30, stream=io.StringIO(), clock=clock)
    clock.now += 10
    progress.epoch(1)
    assert progress.seconds_left() == 20
    clock.now += 50
    assert progress.seconds_left() == 0


def test_on_a_terminal_one_line_is_redrawn_and_messages_stand_above_it() -> None:
    stream = Terminal()
    progress = Progress(total=2, stream=stream, clock=Clock())
    progress.epoch(10)
    progress.say("a message")
    progress.epoch(20)
    progress.close()
    drawn = stream.getvalue()
    assert drawn.count("\n") == 2
    assert "\ra message\n" in drawn
    assert drawn.rstrip("\n").split("\r")[-1].startswith("[████████████] epoch 2/2")


def test_durations_read_like_a_clock() -> None:
    assert [duration(seconds) for seconds in (0, 59.6, 61, 3599, 3661)] == ["0:00", "1:00", "1:01", "59:59", "1:01:01"]
