"""``gcrl goals``: a file of goals from the task's expert or from photos, with splits, a contact sheet and a plot of its coverage."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs.errors import UserError
from gcrl.arguments import at_least, parse
from gcrl.data import Reader
from gcrl.data.schema import space_to_dict
from gcrl.faults import fault
from gcrl.goals.figures import contact_sheet, coverage, coverage_plot, goals_per_skill
from gcrl.goals.file import SPLITS, Columns, GoalFile, GoalHeader, write_goals
from gcrl.goals.frames import fingerprint, frame_goals
from gcrl.goals.parts import Parts, require_parts, require_same
from gcrl.goals.photos import RESIZE, find_photos, photo_goals
from gcrl.goals.reach import BLOCK, GoalMaker, Wish, bounds
from gcrl.goals.taken import named
from gcrl.goals.threshold import success_test
from gcrl.interrupt import Interrupt
from gcrl.output import check_output, clear_output, require_room, row_bytes
from gcrl.progress import Progress
from gcrl.system import git_revision
from gcrl.workers import Workers

PAUSE = 10.0  # s between lines of progress away from a terminal


@dataclass
class Arguments:
    """What is typed after ``gcrl goals``, the environment aside; see `Wish` for what shapes the goals."""

    out: str
    n: int | None = None
    photos: str | None = None  # a folder
    dataset: str | None = None  # a file of episodes, whose frames become goals
    fixed: str | None = None  # a split of the environment's committed goals
    seed: int = 0
    workers: int = 1  # processes; the goals are the same whatever their number
    cameras: tuple[str, ...] = ()
    splits: tuple[float, float, float] | None = None  # shares of train, valid and test; photos are all test by default
    rollout: bool = True
    tries: int = 20
    max_penetration: float = 3e-3  # m
    rest_penetration: float = 5e-4  # m
    at: list[tuple[float, ...]] | None = None
    where: dict[str, Any] = field(default_factory=dict)  # {factor: [low, high]}: a set of examples of one task
    stage: float | None = None  # of a dataset: one frame of each episode, that at this share of its steps
    crop: tuple[int, int, int, int] | None = None  # of photos: x, y, width, height; the middle square by default
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Places:
    """The files of one command: the goals, the pictures beside them, and the folder of unfinished work."""

    out: Path

    @property
    def sheet(self) -> Path:
        return self.out.with_name(f"{self.out.stem}_sheet.png")

    @property
    def plot(self) -> Path:
        return self.out.with_name(f"{self.out.stem}_coverage.png")

    @property
    def parts(self) -> Path:
        return self.out.with_name(f"{self.out.name}.parts")


def make_goals(overrides: Sequence[str]) -> dict[str, Any]:
    """Make the goal file that `overrides` describe (``env=push n=100 out=goals.h5``, ``env=push photos=FOLDER out=goals.h5``).

    Returns {file, goals, splits, success, coverage, goals_per_skill, sheet, plot}. Ctrl-C ends it after the block of goals in
    progress, with `KeyboardInterrupt`; what is done waits for ``resume=true``.
    Raises `UserError` for bad arguments, goals that cannot be reached, an unreadable photo, an output that exists, a full disk.
    """
    with Interrupt("stopping after the goals in progress") as interrupt:
        return _make_goals(overrides, interrupt)


def _make_goals(overrides: Sequence[str], interrupt: Interrupt) -> dict[str, Any]:
    given, environment = parse(Arguments, overrides, "goals")
    if given.dataset is not None and environment is not None:
        raise UserError(f"dataset={given.dataset} says what its environment is; expected no env=... beside it")
    if environment is None and given.dataset is None and given.stage is None:
        raise UserError("missing env=NAME, the environment of the goals; `gcrl list env` shows them")
    shares = _check(given)
    places = Places(Path(given.out))
    require_parts(places.parts)
    resume = check_output(places.out, given.resume, given.overwrite, (places.parts, places.sheet, places.plot))
    if given.photos is not None:
        if resume:
            raise UserError(f"out={places.out}: photos are taken over at once, so there is nothing to resume; expected overwrite=true")
        assert environment is not None
        return _from_photos(given, environment, places, shares)
    if given.dataset is not None:
        if resume:
            raise UserError(f"out={places.out}: frames are taken over at once, so there is nothing to resume; expected overwrite=true")
        return _from_frames(given, places, shares)
    assert environment is not None
    return _from_expert(given, environment, places, shares, resume, interrupt)


def _check(given: Arguments) -> tuple[float, float, float]:
    """Check what needs no environment; return the shares of the splits."""
    at_least(1, workers=given.workers, tries=given.tries)
    at_least(0, seed=given.seed)
    given_too = [f"{name}=..." for name in ("photos", "fixed", "at") if getattr(given, name)]
    if given.dataset is not None and (given_too or given.cameras):
        other = given_too[0] if given_too else "cameras=..."
        raise UserError(f"dataset=... and {other}; expected dataset=... with n=N and where={{...}}, or stage=SHARE, alone")
    if given.stage is not None:
        if given.dataset is None or given.where:
            beside = "where=..." if given.dataset else "no dataset=..."
            raise UserError(f"stage={given.stage} and {beside}; expected dataset=FILE stage=SHARE, which takes one frame of each episode")
        if not 0 <= given.stage <= 1:
            raise UserError(f"stage={given.stage}; expected a share of an episode's steps, from 0 (its start) to 1 (its end)")
    if not given_too and given.n is None and given.stage is None:
        raise UserError("missing n=N, the number of goals (or photos=FOLDER, fixed=SPLIT, at=[[...]], of a dataset stage=SHARE)")
    if given.fixed is not None and len(given_too) > 1:
        raise UserError(f"{' and '.join(given_too)}; expected only one of them")
    if given.n is not None:
        at_least(1, n=given.n)
        if given.photos is not None or given.fixed is not None or (given.at and len(given.at) != given.n):
            raise UserError(f"n={given.n} contradicts {given_too[0]}, which says how many; expected only one of them")
    if given.photos is not None and (given.at or given.cameras):
        raise UserError("photos=... takes neither at=... nor cameras=...; expected photos alone")
    if given.where and given_too:
        raise UserError(f"where=... and {given_too[0]}; expected only one of them: where bounds the task's own goals")
    if given.crop is not None and given.photos is None:
        raise UserError("crop=... is for photos=...; expected both or none")
    for name in ("max_penetration", "rest_penetration"):
        if not getattr(given, name) >= 0:
            raise UserError(f"{name}={getattr(given, name)}; expected metres, at least 0")
    shares = given.splits or ((0.8, 0.1, 0.1) if given.photos is None and given.fixed is None else (0.0, 0.0, 1.0))
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"splits={list(shares)}; expected shares of train, valid and test that add up to 1")
    return shares


def _from_expert(
    given: Arguments,
    environment: tuple[str, dict[str, Any]],
    places: Places,
    shares: tuple[float, float, float],
    resume: bool,
    interrupt: Interrupt,
) -> dict[str, Any]:
    at = tuple(given.at or ())
    shaping = {name: getattr(given, name) for name in ("seed", "cameras", "rollout", "tries", "max_penetration", "rest_penetration")}
    n, where = given.n or len(at) or _fixed_count(given, environment), bounds(given.where)
    wish = Wish(*environment, n=n, at=at, where=where, fixed=given.fixed or "", **shaping)
    config = dataclasses.asdict(wish) | {"splits": list(shares)}
    maker = GoalMaker(wish)  # what is wrong shows before anything is written or removed
    try:
        if resume and places.out.exists() and not places.parts.is_dir():
            with GoalFile(places.out) as file:
                require_same(places.out, file.header.config, config)
            return _finish(places)
        row = 2 * max(1, len(maker.cameras)) * row_bytes(maker.env)
        require_room(places.out, 2 * wish.n * (row + 200), f"{wish.n:,} goals")  # twice: blocks, then the file
        if given.overwrite:  # of unfinished work alone: what is there stays until it can be replaced
            shutil.rmtree(places.parts, ignore_errors=True)
        try:
            parts = Parts(places.parts, config)
            _fill(parts, wish, given.workers, interrupt)
            masks = _split(np.arange(wish.n), shares, wish.seed)
            clear_output(places.sheet, (places.plot,))
            _write(places.out, maker, parts, masks, _header(maker, wish, config))
        except OSError as error:
            raise UserError(f"cannot write {places.out}: {error.strerror or error}; mend that and go on with resume=true") from error
        return _finish(places)
    finally:
        maker.close()


def _fixed_count(given: Arguments, environment: tuple[str, dict[str, Any]]) -> int:
    """Return how many goals the split has whose committed goals were asked for."""
    assert given.fixed is not None
    env = envs.make(environment[0], **environment[1])
    try:
        return len(env.fixed_goals(given.fixed))
    finally:
        env.close()


def _fill(parts: Parts, wish: Wish, workers: int, interrupt: Interrupt) -> None:
    """Make the blocks that are missing, in order, until Ctrl-C."""
    done, blocks = len(parts), -(-wish.n // BLOCK)
    progress = Progress(wish.n, min(done * BLOCK, wish.n), unit="goal", pause=PAUSE)
    crew = Workers(functools.partial(GoalMaker, wish), workers)
    interrupt.say = progress.say
    try:
        for index, block in enumerate(crew.results(range(done, blocks), stop=lambda: interrupt.asked), start=done):
            fault("goals:block")
            parts.save(index, block)
            fault("goals:saved")
            progress.advance(len(block["goals/achieved"]), 0)
        if len(parts) < blocks:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        progress.say(f"{progress.done} of {wish.n} goals are in {parts.folder}; the same command with resume=true makes the others")
        raise
    except UserError:
        if not len(parts):  # what cannot be made leaves nothing behind
            shutil.rmtree(parts.folder)
        raise
    finally:
        progress.close()


def _header(maker: GoalMaker, wish: Wish, config: dict[str, Any]) -> GoalHeader:
    env = maker.env
    return GoalHeader(
        wish.env_id,
        wish.env_arguments,
        "expert" if wish.rollout and env.capabilities.expert else "sampled",
        list(env.factors),
        cameras=maker.cameras,
        skills=[] if wish.fixed else list(getattr(env, "skills", ())),
        image_size=env.observation_space["image"].shape[0] if maker.cameras else 0,
        observation_space=space_to_dict(env.observation_space),
        action_space=space_to_dict(env.action_space),
        seed=wish.seed,
        git_revision=git_revision() or "",
        config=config,
        where={name: (low, high) for name, low, high in wish.where},
    )


def _write(out: Path, maker: GoalMaker, blocks: Iterable[Columns], masks: dict[str, NDArray[np.bool_]], header: GoalHeader) -> None:
    achieved = np.concatenate([block["goals/achieved"] for block in blocks])
    _describe(header, maker.env, achieved)
    write_goals(out, header, blocks, masks)
    fault("goals:written")


def _describe(header: GoalHeader, env: Any, achieved: NDArray[Any]) -> None:
    """Fill in the header's success test and coverage; a set is judged by its bounds."""
    header.coverage = coverage(env, achieved)
    if header.where:
        header.success_predicate = named(header.where)
    else:
        header.success_metric, header.success_threshold, header.success_predicate = success_test(env, achieved)


def _from_photos(
    given: Arguments, environment: tuple[str, dict[str, Any]], places: Places, shares: tuple[float, float, float]
) -> dict[str, Any]:
    assert given.photos is not None
    paths = find_photos(Path(given.photos))
    if places.out.absolute().parent.samefile(given.photos):
        raise UserError(f"out={places.out} lies among the photos, which its contact sheet would join; expected another folder")
    env: Any = envs.make(environment[0], **environment[1])
    try:
        if not env.capabilities.images:
            raise UserError("photos=... needs an environment with pictures; expected env.image_size above 0")
        camera, size = str(getattr(env, "camera", "camera")), env.observation_space["image"].shape[0]
        columns = photo_goals(paths, size, given.crop, camera, len(env.factors), getattr(env, "task", environment[0]))
        require_room(places.out, len(paths) * row_bytes(env), f"{len(paths)} goals")
        config = {"photos": len(paths), "crop": given.crop or "the largest square in the middle", "resize": RESIZE, "splits": list(shares)}
        header = _taken_header(env, environment, "photos", given.seed, config)
        header.success_predicate = "unknown: a photo has no state"
    finally:
        env.close()
    return _taken(places, header, columns, shares)


def _from_frames(given: Arguments, places: Places, shares: tuple[float, float, float]) -> dict[str, Any]:
    assert given.dataset is not None
    where = {name: (low, high) for name, low, high in bounds(given.where)}
    if places.out.exists() and places.out.samefile(given.dataset):
        raise UserError(f"out={places.out} is the dataset itself; expected another path")
    with Reader(given.dataset) as reader:
        environment = (reader.header.env_id, reader.header.env_arguments)
        env: Any = envs.make(environment[0], **environment[1])
        try:
            columns = frame_goals(reader, env, given.n, where, given.stage, given.seed)
            count = len(columns["goals/achieved"])
            require_room(places.out, count * row_bytes(env), f"{count} goals")
            config = {"dataset": given.dataset, "episodes": fingerprint(reader), "n": count, "stage": given.stage, "splits": list(shares)}
            header = _taken_header(env, environment, "frames", given.seed, config)
            header.where = where
            _describe(header, env, columns["goals/achieved"])
        finally:
            env.close()
    return _taken(places, header, columns, shares)


def _taken_header(env: Any, environment: tuple[str, dict[str, Any]], provenance: str, seed: int, config: dict[str, Any]) -> GoalHeader:
    """Return the header of goals that were not made but taken over."""
    pictures = env.capabilities.images
    return GoalHeader(
        *environment,
        provenance,
        list(env.factors),
        cameras=[str(getattr(env, "camera", "camera"))] if pictures else [],
        image_size=env.observation_space["image"].shape[0] if pictures else 0,
        observation_space=space_to_dict(env.observation_space),
        action_space=space_to_dict(env.action_space),
        seed=seed,
        git_revision=git_revision() or "",
        config=config,
    )


def _taken(places: Places, header: GoalHeader, columns: Columns, shares: tuple[float, float, float]) -> dict[str, Any]:
    """Write goals that were taken over, and return what was made."""
    # frames of one episode are alike, and stay in one split
    groups = columns.get("goals/source_episode", np.arange(len(columns["goals/achieved"])))
    clear_output(places.sheet, (places.plot, places.parts))
    write_goals(places.out, header, [columns], _split(groups, shares, header.seed))
    return _finish(places)


def _split(groups: NDArray[np.int64], shares: tuple[float, float, float], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Return {split: (goals,)} masks that part goals by their group (goals,); every split with a share has one, where there are enough."""
    which = np.unique(groups)
    n = len(which)
    counts = np.floor(np.cumsum(shares) * n + 0.5).astype(int)
    sizes = np.diff(counts, prepend=0)
    for index, wanted in enumerate(shares):
        if wanted > 0 and sizes[index] == 0 and sizes.max() > 1:
            sizes[sizes.argmax()] -= 1
            sizes[index] += 1
    order = np.random.default_rng([seed, 23]).permutation(n)
    masks = {name: np.zeros(n, np.bool_) for name in SPLITS}
    for name, chosen in zip(SPLITS, np.split(order, np.cumsum(sizes)[:-1])):
        masks[name][chosen] = True
    place = np.searchsorted(which, groups)
    return {name: mask[place] for name, mask in masks.items()}


def _finish(places: Places) -> dict[str, Any]:
    """Write the pictures beside a finished file, remove the unfinished work, and return what was made."""
    with GoalFile(places.out) as file:
        made: dict[str, Any] = {"file": str(places.out), "goals": len(file), "from": file.header.provenance}
        made["splits"] = {name: int(np.count_nonzero(file.file["mask"][name][()])) for name in SPLITS}
        made["success"] = file.header.success_predicate
        made |= {"coverage": file.header.coverage} if file.header.coverage else {}
        skills = goals_per_skill(file)
        if len(skills) > 1:
            made["goals_per_skill"] = {name: int(counts.sum()) for name, counts in skills.items()}
        if file.header.cameras:
            contact_sheet(places.sheet, file)
            made["sheet"] = str(places.sheet)
        if file.header.provenance != "photos":
            coverage_plot(places.plot, file)
            made["plot"] = str(places.plot)
    if places.parts.is_dir():
        shutil.rmtree(places.parts)
    return made
