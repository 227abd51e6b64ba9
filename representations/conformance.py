"""Does a representation keep the contract of `representations.api`? Run on every representation of ours; meant for yours too."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.conformance import Check, outcome_of
from envs.errors import UserError
from representations.api import Experience, Representation
from representations.made_up import SIDE, Frames, Shared, made_up_frames, made_up_space
from representations.watch import global_generators, odd_leaves, odd_metrics, touched

Make = Callable[[spaces.Dict], Any]
CACHES = ("frame", "episode", "never")
COUNTS = (1, 7, 300)
CLOSE = 1e-4  # share of the latents' spread by which a row may depend on how many others are encoded with it


def check_representation(make: Make, seed: int = 0) -> list[str]:
    """Return one line per broken promise of the representations that `make(observation_space)` returns, a fresh one at each call."""
    return [problem for check in run_checks(make, seed) for problem in check.problems]


def run_checks(make: Make, seed: int = 0) -> Iterator[Check]:
    """Yield the outcome of each of `CHECKS` in turn, of the first alone where that fails; what is not claimed comes unchecked.

    It is tried on pictures of `SIDE` pixels and on states of two numbers, whichever it reads.
    """
    representation = make(made_up_space())
    if not isinstance(representation, Representation):
        lacking = [
            name
            for name in ("keys", "latent_dim", "cache", "needs_fit", "encode", "fit", "state_dict")
            if not hasattr(representation, name)
        ]
        lacks = f"contract: {type(representation).__name__} lacks {', '.join(lacking) or 'load_state_dict'}"
        yield Check("contract", "it has what representations.api.Representation asks for", True, [lacks])
        return
    for check, promise, attribute in CHECKS:
        claimed = hasattr(representation, attribute) and (representation.needs_fit or check is not _fitting)
        outcome = outcome_of(check.__name__, promise, claimed, functools.partial(check, lambda: make(made_up_space()), seed))
        yield outcome
        if outcome.problems and check in (_declares, _latents):
            return  # whatever encodes would say the same


def _declares(make: Callable[[], Any], seed: int) -> Iterator[str]:
    one, space = make(), made_up_space()
    if one.cache not in CACHES:
        yield f"declares: cache = {one.cache!r}; expected one of {', '.join(CACHES)}"
    if not isinstance(one.keys, tuple) or not one.keys or any(key not in space.spaces for key in one.keys):
        yield f"declares: keys = {one.keys!r}; expected a tuple of observation keys, such as ('image',)"
    if not isinstance(one.latent_dim, int) or one.latent_dim < 1:
        yield f"declares: latent_dim = {one.latent_dim!r}; expected a whole number of at least 1"


def _latents(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    for fitted in (False, True):
        one = _fitted(make, frames, seed) if fitted else make()
        for n in COUNTS:
            latents = one.encode(_observations(one, frames, n))
            if np.shape(latents) != (n, one.latent_dim) or getattr(latents, "dtype", None) != np.float32:
                shape = f"{getattr(latents, 'dtype', type(latents).__name__)} of shape {np.shape(latents)}"
                yield f"latents: encode of {n} rows returned {shape}; expected float32 of shape {(n, one.latent_dim)}"
            elif not np.isfinite(latents).all():
                yield f"latents: encode returned NaN or infinite figures {'after' if fitted else 'before'} a fit"
    if not np.ptp(one.encode(_observations(one, frames, 300)), axis=0).any():
        yield "latents: 300 different frames have one and the same latent"


def _company(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    one = _fitted(make, frames, seed)
    if one.cache != "frame":
        return
    together = one.encode(_observations(one, frames, 300))
    alone = np.concatenate([one.encode(_observations(one, frames, 1, first)) for first in range(20)])
    allowed = CLOSE * max(float(together.std(axis=0).max()), 1e-12)
    if np.abs(alone - together[:20]).max() > allowed:
        yield "company: a frame has another latent when others are encoded with it; expected none to matter, or cache other than 'frame'"


def _reading(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    kept = copy.deepcopy(frames.columns)
    one = make()
    one.encode(_observations(one, Shared(frames.columns), 50))
    _fit(one, Shared(frames.columns), seed)
    for key, values in kept.items():
        if not np.array_equal(values, frames.columns[key]):
            yield f"reading: it changed '{key}' of what it was shown; expected it to be read only"


def _randomness(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames, before = made_up_frames(seed=seed), global_generators()
    first, second = (_fitted(make, frames, seed).encode(_observations(make(), frames, 50)) for _ in range(2))
    if not np.array_equal(first, second):
        yield "randomness: the same generator gave other latents; expected it, and the seed, to be the only sources of randomness"
    for name in touched(before):
        yield f"randomness: it drew from the global generator of {name}; expected the one that fit is given, and the seed"


def _fitting(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames, one = made_up_frames(seed=seed), make()
    for first in (True, False):
        yield from (f"fitting: {problem}" for problem in odd_metrics(_fit(one, frames, seed, first)))


def _experience(make: Callable[[], Any], seed: int) -> Iterator[str]:
    cases: dict[str, dict[str, Any]] = {
        "one frame": {"frames": 1},
        "one episode": {"episodes": 1},
        "identical frames": {"identical": True},
    }
    for title, case in cases.items():
        frames = made_up_frames(seed=seed, **case)
        try:
            one = _fitted(make, frames, seed)
            if not np.isfinite(one.encode(_observations(one, frames, 1))).all():
                yield f"experience: fitted to {title}, encode returns NaN or infinite figures"
        except UserError:
            continue  # it says why not, which is as good
        except Exception as error:
            yield f"experience: of {title}: {type(error).__name__}: {error}; expected a fit, or a UserError that says why not"


def _pictures(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    one = _fitted(make, frames, seed)
    drawn = one.decode(one.encode(_observations(one, frames, 7)))
    if np.shape(drawn) != (7, SIDE, SIDE, 3) or drawn.dtype != np.uint8:
        yield f"pictures: decode of 7 latents returned {drawn.dtype} of shape {np.shape(drawn)}; expected uint8, {(7, SIDE, SIDE, 3)}"


def _prior(make: Callable[[], Any], seed: int) -> Iterator[str]:
    one = _fitted(make, made_up_frames(seed=seed), seed)
    first, second = (one.prior(9, np.random.default_rng(5)) for _ in range(2))
    if np.shape(first) != (9, one.latent_dim) or not np.isfinite(first).all():
        yield f"prior: 9 samples have shape {np.shape(first)}; expected finite ones, {(9, one.latent_dim)}"
    elif not np.array_equal(first, second):
        yield "prior: the same generator gave other samples; expected it to be the only source of randomness"


def _density(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    one = _fitted(make, frames, seed)
    logs = np.asarray(one.log_prob(_observations(one, frames, 11), np.random.default_rng(5)))
    if logs.shape != (11,) or not np.isfinite(logs).all():
        yield f"density: log_prob of 11 rows has shape {logs.shape}; expected 11 finite numbers"


def _state(make: Callable[[], Any], seed: int) -> Iterator[str]:
    frames = made_up_frames(seed=seed)
    one, twin = _fitted(make, frames, seed), make()
    state = copy.deepcopy(one.state_dict())
    if odd := list(odd_leaves(state)):
        yield f"state: state_dict holds {', '.join(odd)}; expected nested dicts of arrays, tensors, numbers and strings"
        return
    twin.load_state_dict(state)
    for when in ("", " after another fit"):
        latents = [each.encode(_observations(each, frames, 50)) for each in (one, twin)]
        if not np.array_equal(*latents):
            yield f"state: one restored from state_dict encodes otherwise{when}; expected state_dict to hold all of it"
            return
        for each in (one, twin):
            _fit(each, frames, seed + 1, first=False)


CHECKS: tuple[tuple[Callable[[Callable[[], Any], int], Iterator[str]], str, str], ...] = (
    (_declares, "keys, latent_dim and cache are what they may be", "keys"),
    (_latents, "latents are finite float32, one row per frame, and tell frames apart", "encode"),
    (_company, "a frame's latent does not depend on what is encoded with it", "encode"),
    (_reading, "observations and experience are only read", "encode"),
    (_randomness, "all randomness comes from the seed and from the generator", "encode"),
    (_fitting, "fit returns finite figures by name, the first time and later", "fit"),
    (_experience, "any experience is enough, or it says why not: one frame, one episode, identical frames", "fit"),
    (_pictures, "decode draws pictures of the size that it reads", "decode"),
    (_prior, "prior yields finite latents, by the generator alone", "prior"),
    (_density, "log_prob is one finite number per row", "log_prob"),
    (_state, "a restored one encodes, and goes on learning, as the original would", "state_dict"),
)


def _fit(one: Any, frames: Experience, seed: int, first: bool = True) -> Any:
    generator, drawer = np.random.default_rng([seed, 3]), np.random.default_rng([seed, 4])
    return one.fit(frames, lambda n: frames.sample_rows(n, drawer), generator, first=first)


def _fitted(make: Callable[[], Any], frames: Frames, seed: int) -> Any:
    one = make()
    if one.needs_fit:
        _fit(one, frames, seed)
    return one


def _observations(one: Any, frames: Frames, n: int, first: int = 0) -> Mapping[str, NDArray[Any]]:
    rows = first + np.arange(n)
    return {key: frames.read(key, rows) for key in one.keys}
