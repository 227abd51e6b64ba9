"""Checkpoints: bit-exact, atomic under kill -9, and plain about damage."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from envs.errors import UserError
from gcrl import checkpoint

ARRAYS = hnp.arrays(
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.uint64]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text(max_size=8) | st.binary(max_size=8) | ARRAYS
KEYS = st.text(max_size=6) | st.integers(-5, 100)
TREES = st.dictionaries(
    st.text(max_size=6),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8),
    max_size=4,
)


def same(left: Any, right: Any) -> bool:
    """Equal in type and in bits, NaN included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, torch.Tensor):
        bits = [np.atleast_1d(tensor.reshape(-1).view(torch.uint8).numpy()) for tensor in (left, right)]
        return bool(left.dtype == right.dtype and left.shape == right.shape and same(*bits))
    if isinstance(left, np.ndarray | np.generic):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    return repr(left) == repr(right)


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_any_tree_comes_back_bit_for_bit(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(folder, tree)
    assert same(checkpoint.load(folder), tree)


def test_torch_training_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    tree = {
        "network": dict(network.state_dict()),
        "optimizer": optimizer.state_dict(),
        "half": torch.randn(5).to(torch.bfloat16),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "generator": np.random.default_rng(3).bit_generator.state,
        "torch_generator": torch.Generator().manual_seed(3).get_state(),
        "scalar": np.float32(0.1),
        "simulator": b"\x00\xff snapshot",
        "pair": (1, "a"),
    }
    checkpoint.save(tmp_path, tree)
    loaded = checkpoint.load(tmp_path)
    assert same(loaded, tree)
    torch.optim.Adam(network.parameters(), lr=1e-3).load_state_dict(loaded["optimizer"])
    generator = np.random.default_rng()
    generator.bit_generator.state = loaded["generator"]
    assert generator.random() == np.random.default_rng(3).random()


def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    for epoch in range(5):
        checkpoint.save(tmp_path, {"epoch": epoch}, keep=2)
    assert checkpoint.load(tmp_path) == {"epoch": 4}
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("entry", [object(), np.array([object()]), np.array(["text"]), {1.5: "float key"}])
def test_what_would_need_pickling_is_refused_by_name(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(TypeError, match="agent/thing"):
        checkpoint.save(tmp_path, {"agent": {"thing": entry}})


def two_checkpoints(folder: Path) -> Path:
    checkpoint.save(folder, {"epoch": 1, "weights": np.arange(1000.0)})
    return checkpoint.save(folder, {"epoch": 2, "weights": np.arange(1000.0)})


def test_truncation_is_named_with_the_older_file_to_go_on_from(tmp_path: Path) -> None:
    newest = two_checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-8])
    with pytest.raises(
        UserError, match=r"000002\.safetensors is truncated.*delete it to go on from the older 000001\.safetensors"
    ) as caught:
        checkpoint.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_grew_is_not_called_truncated(tmp_path: Path) -> None:
    newest = two_checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes() + b"more")
    with pytest.raises(UserError, match=r"000002\.safetensors was altered: \d+ bytes, expected \d+; delete it"):
        checkpoint.load(tmp_path)


def test_every_altered_byte_is_noticed(tmp_path: Path) -> None:
    newest = two_checkpoints(tmp_path)
    good = newest.read_bytes()
    for position in range(0, len(good), len(good) // 23):
        newest.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(UserError, match="was altered"):
            checkpoint.load(tmp_path)


def test_a_deleted_file_falls_back_to_the_older_one_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two_checkpoints(tmp_path).unlink()
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(tmp_path)["epoch"] == 1
    assert "using the older 000001.safetensors" in caplog.text


def test_missing_damaged_and_newer_indexes_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint in"):
        checkpoint.load(tmp_path)
    for path in [two_checkpoints(tmp_path), tmp_path / "000001.safetensors"]:
        path.unlink()
    with pytest.raises(UserError, match="are missing"):
        checkpoint.load(tmp_path)
    (tmp_path / "latest.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        checkpoint.load(tmp_path)
    (tmp_path / "latest.json").write_text(json.dumps({"format": 99, "checkpoints": []}))
    with pytest.raises(UserError, match="format 99"):
        checkpoint.load(tmp_path)


def test_a_full_disk_is_said_in_one_line_and_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys, numpy as np\n"
        "from gcrl import checkpoint\n"
        "checkpoint.save(sys.argv[1], {'epoch': 1})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"  # writes beyond this fail like a full disk
        "try: checkpoint.save(sys.argv[1], {'epoch': 2, 'weights': np.zeros(100_000)})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("UserError could not write the checkpoint")
    assert "the previous checkpoint is intact" in done.stdout
    assert checkpoint.load(tmp_path) == {"epoch": 1}
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("point", ["checkpoint:mid", "checkpoint:named"])
def test_kill_9_inside_a_save_leaves_the_previous_checkpoint(tmp_path: Path, point: str) -> None:
    checkpoint.save(tmp_path, {"epoch": 0})
    script = (
        "import sys, numpy as np\n"
        "from gcrl import checkpoint\n"
        "for epoch in (1, 2): checkpoint.save(sys.argv[1], {'epoch': epoch, 'weights': np.ones(9)})\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "GCRL_FAULT": f"{point}:2"})
    assert done.returncode == -signal.SIGKILL
    assert checkpoint.load(tmp_path)["epoch"] == 1
    checkpoint.save(tmp_path, {"epoch": 3})
    assert checkpoint.load(tmp_path) == {"epoch": 3}
