"""Does a goal sampler keep the contract of `goal_samplers.api`? Run on every sampler of ours; meant for yours too."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from envs.conformance import Check, outcome_of
from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals, GoalSampler
from goal_samplers.made_up import ODD, made_up, representation_of
from goal_samplers.resample import RowPool
from representations.api import Representation
from representations.made_up import BOUND, Shared
from representations.watch import global_generators, odd_leaves, odd_metrics, touched

Make = Callable[[], Any]
FAR = 3 * BOUND  # kernels of a density reach over the edge of the goal space, but not this far
COUNTS = (1, 7, 300)
KINDS = ({"pictures": False}, {"pictures": True}, {"pictures": True, "codes": True})


def check_sampler(make: Make, seed: int = 0) -> list[str]:
    """Return one line per broken promise of the samplers that `make()` returns, a fresh one at each call (none: it conforms)."""
    return [problem for check in run_checks(make, seed) for problem in check.problems]


def run_checks(make: Make, seed: int = 0) -> Iterator[Check]:
    """Yield the outcome of each of `CHECKS` in turn, of the first alone where that fails; what is not claimed comes unchecked.

    It is tried on states as they are, or, where its ``check`` refuses those, on pictures with a VAE or a VQ-VAE. Raises `UserError` where
    it refuses all.
    """
    sampler = make()
    if not isinstance(sampler, GoalSampler):
        lacks = f"contract: {type(sampler).__name__} lacks sample(context, n)"
        yield Check("contract", "it has the method of goal_samplers.api.GoalSampler", True, [lacks])
        return
    kind = _takes(sampler)
    for check, promise, attribute in CHECKS:
        problems = functools.partial(check, _checked(make, kind), lambda dims=2: representation_of(dims, **kind), seed)
        outcome = outcome_of(check.__name__, promise, hasattr(sampler, attribute), problems)
        yield outcome
        if outcome.problems and check is _goals:
            return  # whatever asks for goals would say the same


def _takes(sampler: Any) -> dict[str, bool]:
    """Return the first of `KINDS` of representations that the sampler does not refuse."""
    if not hasattr(sampler, "check"):
        return KINDS[0]
    for kind in KINDS[:-1]:
        with contextlib.suppress(UserError):
            sampler.check(representation_of(2, **kind))
            return kind
    sampler.check(representation_of(2, **KINDS[-1]))
    return KINDS[-1]


def _checked(make: Make, kind: dict[str, bool]) -> Make:
    """Return what makes samplers as a run does, which lets them check its representation first."""

    def made() -> Any:
        sampler = make()
        if hasattr(sampler, "check"):
            sampler.check(representation_of(2, **kind))
        return sampler

    return made


def _goals(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    for fitted in (False, True):
        sampler, context = make(), made_up(represent(), seed=seed)
        if fitted:
            _fit(sampler, context)
        for n in COUNTS:
            yield from (f"goals: {problem}" for problem in wrong_with(sampler.sample(context, n), context, n))


def _experience(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    for title, case in ODD.items():
        sampler, context = make(), made_up(represent(case.get("dims", 2)), seed=seed, **case)
        try:
            for _ in range(2):
                problems = wrong_with(sampler.sample(context, 5), context, 5)
                yield from (f"experience: of {title}: {problem}" for problem in problems)
                _fit(sampler, context)
        except UserError:
            continue  # it says why not, which is as good
        except Exception as error:
            yield f"experience: of {title}: {type(error).__name__}: {error}; expected goals, or a UserError that says why not"


def _empty(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    context = made_up(represent(), episodes=0, seed=seed)
    try:
        problems = list(wrong_with(make().sample(context, 3), context, 3))
    except UserError:
        return
    except Exception as error:
        problems = [f"{type(error).__name__}: {error}"]
    if problems:
        yield f"empty: without experience: {problems[0]}; expected a UserError that asks for some (goal_samplers.experience.require_frames)"


def _needs(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    for field, flag in (("commanded", "needs_commanded"), ("value", "needs_value"), ("value_spread", "needs_value_spread")):
        sampler = make()
        context = replace(made_up(represent(), seed=seed), **{field: None})  # type: ignore[arg-type]
        try:
            _fit(sampler, context)
            sampler.sample(context, 5)
        except UserError:
            if not getattr(sampler, flag, False):
                yield f"needs: it cannot do without context.{field}; expected the attribute {flag} = True, by which runs offer or refuse it"
        except Exception as error:
            yield f"needs: without context.{field}: {type(error).__name__}: {error}; expected a UserError, and the attribute {flag} = True"


def _randomness(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    before = global_generators()
    drawn = []
    for _ in range(2):
        sampler, context = make(), made_up(represent(), seed=seed)
        _fit(sampler, context)
        drawn.append(_params(sampler.sample(context, 20), context))
    if not np.array_equal(drawn[0], drawn[1]):
        yield "randomness: the same context.generator gave other goals; expected it to be the only source of randomness"
    for name in touched(before):
        yield f"randomness: it drew from the global generator of {name}; expected context.generator alone"


def _reading(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    sampler, context = make(), made_up(represent(), seed=seed)
    columns = context.experience.columns  # type: ignore[attr-defined]
    kept = copy.deepcopy(columns)
    context.experience = Shared(columns)
    _fit(sampler, context)
    sampler.sample(context, 20)
    for key, values in kept.items():
        if not np.array_equal(values, columns[key]):
            yield f"reading: it changed '{key}' of the experience; expected it to be read only"


def _fitting(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    sampler, context = make(), made_up(represent(), seed=seed)
    yield from (f"fitting: {problem}" for problem in odd_metrics(_fit(sampler, context)))


def _weights(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    sampler, context = make(), made_up(represent(), seed=seed)
    rows = context.experience.sample_rows(50, context.generator)
    for when in ("before", "after"):
        weights = np.asarray(sampler.log_weights(context.experience, rows, context.generator))
        if weights.shape != (50,):
            yield f"weights: log_weights of 50 rows have shape {weights.shape} {when} a fit; expected (50,)"
        elif np.isnan(weights).any() or np.isposinf(weights).any() or np.isneginf(weights).all():
            yield f"weights: log_weights {when} a fit are not numbers; expected finite ones, or -inf for rows that are never drawn"
        _fit(sampler, context)


def _state(make: Make, represent: Callable[..., Representation], seed: int) -> Iterator[str]:
    sampler, context = make(), made_up(represent(), seed=seed)
    for _ in range(2):
        _fit(sampler, context)
    twin = make()
    if hasattr(sampler, "state_dict"):
        state = copy.deepcopy(sampler.state_dict())
        if odd := list(odd_leaves(state)):
            yield f"state: state_dict holds {', '.join(odd)}; expected nested dicts of arrays, tensors, numbers and strings"
            return
        twin.load_state_dict(state)
    one, other = made_up(represent(), seed=seed + 1), made_up(represent(), seed=seed + 1)
    if not np.array_equal(_params(sampler.sample(one, 20), one), _params(twin.sample(other, 20), other)):
        yield "state: one restored from state_dict proposes other goals; expected state_dict to hold all that fit learns, for resumed runs"


CHECKS: tuple[tuple[Callable[[Make, Callable[..., Representation], int], Iterator[str]], str, str], ...] = (
    (_goals, "rows that are stored, or finite Goals inside the goal space, as many as asked for", "sample"),
    (_experience, "any experience is enough, or it says why not: one frame, one episode, identical frames, one dimension", "sample"),
    (_empty, "without experience it says so", "sample"),
    (_needs, "what it cannot do without it says by needs_commanded, needs_value, needs_value_spread", "sample"),
    (_randomness, "all randomness comes from context.generator", "sample"),
    (_reading, "the experience is only read", "sample"),
    (_fitting, "fit returns finite figures by name", "fit"),
    (_weights, "log_weights are one number per row", "log_weights"),
    (_state, "a restored sampler proposes what the original would", "sample"),
)


def wrong_with(proposed: Any, context: GoalContext, n: int) -> Iterator[str]:
    """Yield what is wrong with `n` goals that were proposed in `context`, a line each."""
    if not isinstance(proposed, Goals):
        rows = np.asarray(proposed)
        if rows.shape != (n,) or rows.dtype.kind not in "iu":
            yield f"sample({n}) returned {rows.dtype} of shape {rows.shape}; expected {n} integer rows, or Goals"
        elif n and (rows.min() < 0 or rows.max() >= context.experience.size):
            yield f"sample returned row {rows.min() if rows.min() < 0 else rows.max()} of {context.experience.size} stored ones"
        return
    expected = (n, context.representation.latent_dim)
    if np.shape(proposed.params) != expected or np.shape(proposed.rows) != (n,):
        shapes = np.shape(proposed.params), np.shape(proposed.rows)
        yield f"sample({n}) returned goals of shape {shapes[0]}, rows {shapes[1]}; expected {expected}, ({n},)"
        return
    if not np.isfinite(proposed.params).all():
        yield f"{int((~np.isfinite(proposed.params)).any(axis=1).sum())} of {n} goals are not finite"
    for name in ("images", "achieved", "starts"):
        values = getattr(proposed, name)
        if values is not None and len(values) != n:
            yield f"Goals.{name} has {len(values)} entries for {n} goals"
    if proposed.achieved is not None and np.nanmax(np.abs(proposed.achieved), initial=0.0) > FAR:
        yield f"a goal lies at {np.nanmax(np.abs(proposed.achieved)):.3g}, outside the goal space (within ±{BOUND:g})"


def _fit(sampler: Any, context: GoalContext) -> Any:
    return sampler.fit(context, RowPool(context.experience, sampler, context.generator)) if hasattr(sampler, "fit") else {}


def _params(proposed: Any, context: GoalContext) -> Any:
    return proposed.params if isinstance(proposed, Goals) else context.experience.read("latent", np.asarray(proposed))
