"""What of a dataset is held out, and its latents kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cases import dataset
from replay_cases import Doubling, Seeing, episodes, replay
from run_cases import BITFLIP, DOOR, differences, outcome, settings

from envs.errors import UserError
from gcrl.data import Reader, Writer
from gcrl.latent_cache import FILE, cache_key, load_latents, store_latents
from gcrl.metrics_log import read_metrics
from gcrl.offline import held_out_episodes
from gcrl.practice import Practice, resume

OFFLINE = ["agent=iql", "agent.hidden=[16,16]", "agent.batch_size=32", "offline_updates=25", "practice.epochs=1"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.01, 1), (0.5, 4), (0.99, 7)])
def test_whole_episodes_are_held_out_by_the_share_and_the_seed(tmp_path: Path, share: float, expected: int) -> None:
    with Reader(dataset(tmp_path / "d.h5")) as reader:
        masks = [held_out_episodes(reader, share, seed) for seed in (1, 1, 2, 3, 4)]
    assert {int(mask.sum()) for mask in masks} == {expected}
    assert np.array_equal(masks[0], masks[1])
    assert expected == 0 or any(not np.array_equal(masks[0], mask) for mask in masks)


def test_a_split_of_the_files_own_is_taken_instead(tmp_path: Path) -> None:
    with Reader(dataset(tmp_path / "d.h5", masks={"valid": [2, 5]})) as reader:
        assert np.flatnonzero(held_out_episodes(reader, 0.5, 1)).tolist() == [2, 5]
        assert not held_out_episodes(reader, 0.0, 1).any()


def test_measuring_does_not_disturb_training(doors: Path, tmp_path: Path) -> None:
    """The same episodes are held out; once they are measured, once not: every weight and generator is the same."""
    runs = []
    for name in ("measured", "unmeasured"):
        run = Practice(settings(DOOR, tmp_path / name, *OFFLINE, f"dataset={doors}", "offline_validation=0.2"))
        if name == "unmeasured":
            run.learner.validate = dict  # type: ignore[method-assign]
        for _ in range(2):
            run.step()
        run.close()
        rows = read_metrics(tmp_path / name)
        assert [("validation/critic_loss" in row) for row in rows] == [name == "measured"] * 2
        found = outcome(tmp_path / name)
        runs.append({key: value for key, value in found.items() if "/validation/" not in key})
    assert differences(*runs) == []


def test_latents_on_disk_are_read_for_the_same_weights_alone(tmp_path: Path) -> None:
    def filled() -> list:
        stores = [replay(400, False), replay(400, False)]
        for number, store in enumerate(stores):
            store.add(episodes(10 * number, [5, 12, 7], False))
        return stores

    made, fresh = filled(), filled()
    for store in made:
        store.reencode(Doubling(3.0))
    key = cache_key("data", Doubling(3.0))
    assert not load_latents(tmp_path, key, fresh)
    store_latents(tmp_path, key, made)
    others = [cache_key("data", Doubling(4.0)), cache_key("other", Doubling(3.0)), cache_key("data", Seeing(3.0))]
    assert len({key, *others}) == 4
    assert not any(load_latents(tmp_path, other, fresh) for other in others)
    assert load_latents(tmp_path, key, fresh)
    for one, other in zip(made, fresh):
        rows = one.ring.all_rows()
        assert np.array_equal(one.read("latent", rows), other.read("latent", rows))
        assert np.array_equal(one.rollout_goals(rows).params, other.rollout_goals(rows).params)
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (whole[:-3], whole[:-3] + b"abc", b"", b"not a file"):
        (tmp_path / FILE).write_bytes(damaged)
        assert not load_latents(tmp_path, key, filled())


def test_resuming_reads_latents_and_makes_damaged_ones_anew(doors: Path, tmp_path: Path) -> None:
    made = settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={doors}")
    run = Practice(made)
    run.step()
    run.close()
    assert run.learner.offline is not None
    expected = run.learner.offline.read("latent", np.arange(50))
    for damaged in (False, True):
        if damaged:
            (tmp_path / "run" / FILE).write_bytes(b"x")
        again = Practice(made, resume=True)
        assert again.learner.dataset is not None
        assert again.learner.offline is not None
        assert again.learner.dataset.stored == (-1 if damaged else 1)
        assert np.array_equal(again.learner.offline.read("latent", np.arange(50)), expected)
        again.close()


def test_a_dataset_without_actions_or_with_no_goals_to_learn_for_is_refused(doors: Path, tmp_path: Path) -> None:
    path = tmp_path / "still.h5"
    with Reader(doors) as reader, Writer(path, reader.header) as writer:
        some = reader.episodes([0, 1])
        some.actions[:] = np.nan
        writer.append(some)
    with pytest.raises(UserError, match="lacks actions"):
        Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={path}"))
    path = tmp_path / "goalless.h5"
    with Reader(doors) as reader, Writer(path, reader.header) as writer:
        some = reader.episodes([0, 1])
        assert some.goal_achieved is not None
        some.goals[:], some.goal_achieved[:], some.rewards = np.nan, np.nan, None
        writer.append(some)
    with pytest.raises(UserError, match=r"lacks goals, and relabel\.rollout=1"):
        Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={path}", "relabel=none"))
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={path}", "relabel=future"))
    assert run.learner.offline is not None
    assert run.learner.offline.transitions == 10  # rewards are computed here; one of the two episodes is held out
    run.close()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["agent=crl", "relabel=mix"], "agent CRL cannot learn from relabel.rollout=0.2.*expected.*geometric or future"),
        (["agent=qrl", "practice.inputs=[latent]", "relabel=future"], "agent QRL cannot learn from relabel.future=1.*relabel=random"),
        (["agent=gcbc", "relabel=mix"], "agent GCBC cannot learn from relabel.sampler=0.4; expected future or .*relabel=future"),
        (["agent=gcbc", "relabel=future", "actor_goals.random=1"], "agent GCBC cannot learn from actor_goals.random=1"),
        (["agent=sac", "actor_goals.geometric=1"], "actor_goals.geometric=1: agent SAC improves its policy for the goals of its values"),
        (["agent=crl", "relabel=geometric", "agent.latent=0"], "CRL latent=0.*expected|latent=0 is out of range"),
        (["agent=gcbc", "agent.n_step=3"], "n_step"),
        (["agent.n_step=0"], "n_step=0.*nearest valid: 1"),
        (["offline_validation=1"], "offline_validation=1.0; expected a share"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_there_is_a_run(tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Practice(settings(["experiment=door_state", "env.image_size=0"], tmp_path / "run", *more))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_finished_is_not_evaluated_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    Practice(settings(BITFLIP, folder, "practice.epochs=1", "practice.final_goals=1")).run()
    before = (folder / "evaluation.json").stat().st_mtime_ns, (folder / "report.html").stat().st_mtime_ns
    capsys.readouterr()
    assert resume(folder) == folder
    assert "has finished already: all 1 epochs are done" in capsys.readouterr().err
    assert before == ((folder / "evaluation.json").stat().st_mtime_ns, (folder / "report.html").stat().st_mtime_ns)
