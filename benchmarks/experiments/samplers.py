"""What goal samplers come to: coverage of what can be reached, and tasks given by sets."""

from __future__ import annotations

from benchmarks.experiment import Experiment

# MEGA without its cutoff: an ideal policy has no values (corridor), and rewards by distance are not the paper's -1 per step (door, push).
MEGA = ["goal_sampler=mega", "goal_sampler.cutoff=null"]
RACE_CORRIDOR = {
    "skewfit_model": [],
    "skewfit, stored frames": ["goal_sampler=skewfit_distance"],
    "uniform": ["goal_sampler=uniform"],
    "mega": MEGA,
    "neighbours": ["goal_sampler=neighbours"],
    "commanded (a bound)": ["goal_sampler=commanded"],
}
STRAIGHT = "practice.go_explore=0"  # the presets by state have had 0.5 since the races
RACE = {
    "skewfit": [STRAIGHT],
    "uniform": ["goal_sampler=uniform", STRAIGHT],
    "mega": [*MEGA, STRAIGHT],
    "discover": ["goal_sampler=discover", STRAIGHT],
    "neighbours": ["goal_sampler=neighbours", STRAIGHT],
    "single": ["goal_sampler=single", STRAIGHT],
    "commanded": ["goal_sampler=commanded", STRAIGHT],
    "skewfit, go-explore": ["practice.go_explore=0.5"],
}
# Tasks on Push that leave the arm and one coordinate of the puck free, as frames of random actions show them: half are commanded, half
# say what the set is.
PUSH_SETS = {
    name: ("n=200", "splits=[0.5,0,0.5]", f"where={{{bounds}}}", "seed=101")
    for name, bounds in {"left": "puck_y_m:[0.06,0.14]", "right": "puck_y_m:[-0.14,-0.06]", "far": "puck_x_m:[0.54,0.60]"}.items()
}
EXPLORE = ("success_rate", "door_angle_error", "visited:coverage", "visited:entropy")


def ahead(*arms: str) -> list[tuple[str, str, str]]:
    """Return the comparisons of Skew-Fit with `arms` in what is reached and what is visited."""
    return [("skewfit", arm, figure) for figure in ("success_rate", "visited:entropy") for arm in arms]


SAMPLERS: dict[str, Experiment] = {
    "corridor": Experiment(
        "corridor",
        "Skew-Fit's corridor: entropy on the 60×60 grid rises with −α; α = −1 covers at least 0.8 of the cells, α = 0 less than 0.1.",
        {"alpha=-1": ["goal_sampler.alpha=-1"], "alpha=-0.5": ["goal_sampler.alpha=-0.5"], "alpha=0": ["goal_sampler.alpha=0"]},
        figures=("visited_late:entropy", "visited:coverage"),
        pairs=[("alpha=-1", "alpha=-0.5", "visited_late:entropy"), ("alpha=-0.5", "alpha=0", "visited_late:entropy")],
    ),
    "door_explore_state": Experiment(
        "door_explore_state",
        "The hard-to-explore door by state: Skew-Fit beats samples of the density of the data and uniform replay in "
        "coverage of angles and in success.",
        {
            "skewfit": [STRAIGHT],
            "rig": ["goal_sampler.alpha=0", "goal_sampler.goals=density", STRAIGHT],
            "uniform": ["goal_sampler=uniform", STRAIGHT],
        },
        figures=EXPLORE,
        pairs=ahead("rig", "uniform"),
    ),
    "door_explore": Experiment(
        "door_explore",
        "The hard-to-explore door from pixels: Skew-Fit beats the prior (RIG) and uniform replay in coverage of angles and in success.",
        {"skewfit": [], "rig": ["goal_sampler=prior"], "uniform": ["goal_sampler=uniform"]},
        seeds=(1, 2, 3),
        figures=EXPLORE,
        pairs=ahead("rig", "uniform"),
    ),
    "race_corridor": Experiment(
        "corridor",
        "Which goals cover the corridor under an ideal policy: the paper's Skew-Fit, whose goals are samples of a model, and samplers of "
        "stored frames. Skew-Fit covers more than uniform replay.",
        RACE_CORRIDOR,
        figures=("visited:coverage", "visited_late:entropy"),
        pairs=[("skewfit_model", arm, "visited:coverage") for arm in RACE_CORRIDOR if arm != "skewfit_model"]
        + [("skewfit, stored frames", "uniform", "visited:coverage")],
    ),
    "race_door": Experiment(
        "door_explore_state",
        "Which goals open the hard-to-explore door by state: all samplers on equal budgets. Skew-Fit beats uniform replay.",
        RACE,
        figures=EXPLORE,
        pairs=ahead(*(arm for arm in RACE if arm != "skewfit")),
    ),
    "race_push": Experiment(
        "push_state",
        "Which goals teach an arm to push a puck by state: all samplers on equal budgets. Skew-Fit beats uniform replay.",
        RACE,
        figures=("success_rate", "puck_distance_m", "visited:coverage", "visited:entropy"),
        pairs=ahead(*(arm for arm in RACE if arm != "skewfit")),
    ),
    "disco": Experiment(
        "disco",
        "Tasks given by sets of examples on Push by state (the puck on the left, on the right, far away; the arm anywhere): a policy that "
        "is told what a set has in common (DisCo) at least 20 points above one that is told one of its examples.",
        {
            "disco": [],
            "disco, log-density": ["reward.form=log_density"],
            "disco, diagonal": ["goal_space.covariance=diagonal"],
            "examples": ["goal_space=latent", "reward=latent_distance"],
        },
        figures=("sets:success_rate", "sets:left", "sets:right", "sets:far"),
        pairs=[
            (better, worse, "sets:success_rate")
            for better, worse in (("disco", "examples"), ("disco, log-density", "examples"), ("disco", "disco, log-density"))
        ],
        frames=("env=push", "env.image_size=0", "policy=random", "random_hold=5", "episodes=400", "seed=101"),
        sets=PUSH_SETS,
    ),
}
