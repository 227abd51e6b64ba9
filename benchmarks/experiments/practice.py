"""What practice comes to, by state and from pixels, and which parts of it do it."""

from __future__ import annotations

from benchmarks.experiment import Experiment

# End to end, minibatches half as large: an update takes many times as long as one on latents. Goals are stored frames, whole pictures.
PIXELS = ["representation=pixels", "goal_sampler=uniform", "agent=drq", "agent.batch_size=128", "practice.pool_size=512"]
PIXELS_PUSH = [*PIXELS, "agent.discount=0.97", "agent.mixed_precision=true"]  # the preset's discount, which `agent=` takes back
NO_HINDSIGHT = ["relabel.rollout=0.5", "relabel.future=0", "relabel.sampler=0.5"]

PRACTICE: dict[str, Experiment] = {
    "bitflip": Experiment(
        "bitflip",
        "Bit flipping, n = 20: DQN with HER at least 0.95, DQN alone at most 0.05.",
        {"dqn+her": [], "dqn": ["relabel=none"]},
        pairs=[("dqn+her", "dqn", "success_rate")],
    ),
    "fetch_reach": Experiment(
        "fetch_reach",
        "FetchReach-v4, 10k steps: with HER at least 0.95 by 8k steps on every seed, without below 0.2.",
        {"ddpg+her": [], "ddpg": ["relabel=none"]},
        figures=("success_rate", "distance", "eval_8k"),
        pairs=[("ddpg+her", "ddpg", "success_rate")],
    ),
    "fetch_push": Experiment(
        "fetch_push",
        "FetchPush-v4 from scratch with sparse rewards, at most an hour on two cores: success at least 0.9 (beside it: sb3_fetch).",
        {"ddpg+her": ["max_minutes=60"]},
        seeds=(1, 2, 3),
        figures=("success_rate", "distance"),
    ),
    "door_state": Experiment(
        "door_state",
        "Door by state (the oracle): success at least 0.9 within 10 minutes.",
        {"skewfit": []},
        figures=("success_rate", "door_angle_error"),
    ),
    "door": Experiment(
        "door",
        "Door from pixels: success at least 0.85 after at most 10 minutes of practice on two cores, against untrained measured alike.",
        {"skewfit": []},
        figures=("success_rate", "door_angle_error"),
    ),
    "door_long": Experiment(
        "door_long",
        "Door from pixels, at most 45 minutes: success at least 0.95, angle error at most 0.03 rad (published: 0.03-0.05 at ~95k steps).",
        {"skewfit": []},
        seeds=(1, 2, 3),
        figures=("success_rate", "door_angle_error"),
    ),
    "push": Experiment(
        "push",
        "Push from pixels, goals at least 8 cm from the puck's start: the puck's error at least halved against untrained.",
        {"skewfit": []},
        figures=("puck_distance_m", "success_rate"),
    ),
    "stand_in": Experiment(
        "stand_in",
        "The door from pixels on a robot's stand-in, without reset, state or drawn goals: better than untrained, measured alike.",
        {"skewfit": []},
        seeds=(1, 2, 3),
        figures=("success_rate", "door_angle_error"),
    ),
    "pixels_baseline": Experiment(
        "door",
        "The door without a representation: an agent that learns end to end from pixels, by pixel error and by the oracle's reward, beside "
        "the latent method, all at equal environment steps and updates.",
        {
            "latent": [],
            "pixels": PIXELS,  # the preset `pixels_baseline`
            "pixels, the oracle's reward": [*PIXELS, "reward=state_distance", "reward.weights=[1,2,2,2]"],
        },
        seeds=(1, 2, 3),
        figures=("success_rate", "door_angle_error"),
        pairs=[("latent", "pixels", "success_rate"), ("latent", "pixels, the oracle's reward", "success_rate")],
    ),
    "pixels_baseline_push": Experiment(
        "push",
        "The same on Push, where the puck is a few pixels of the picture.",
        {
            "latent": [],
            "pixels": PIXELS_PUSH,
            "pixels, the oracle's reward": [*PIXELS_PUSH, "reward=state_distance", "reward.weights=[1,1,2,2]"],
        },
        seeds=(1, 2, 3),
        figures=("puck_distance_m", "success_rate"),
        pairs=[("latent", "pixels", "puck_distance_m"), ("latent", "pixels, the oracle's reward", "puck_distance_m")],
    ),
    "push_rewards": Experiment(
        "push",
        "Rewards on Push from pixels: state oracle ≥ latent distance > pixel error (its mean square, as in RIG; and its root).",
        {
            "latent": [],
            "oracle": ["reward=state_distance"],
            "pixel, mean square": ["reward=pixel_mse"],
            "pixel": ["reward=pixel_error"],
        },
        figures=("puck_distance_m", "success_rate"),
        pairs=[
            ("oracle", "latent", "puck_distance_m"),
            ("latent", "pixel, mean square", "puck_distance_m"),
            ("latent", "pixel, mean square", "success_rate"),
            ("latent", "pixel", "puck_distance_m"),
        ],
    ),
    "push_rewards_alone": Experiment(
        "push",
        "The same without hindsight goals, where a reward has to lead by itself: relabelling draws the rollout's goals and the sampler's "
        "in equal parts.",
        {
            "latent": NO_HINDSIGHT,
            "pixel": ["reward=pixel_error", *NO_HINDSIGHT],
            "pixel, mean square": ["reward=pixel_mse", *NO_HINDSIGHT],
            "oracle": ["reward=state_distance", *NO_HINDSIGHT],
            # As the states of `push_state` are scaled; the other one counts the hand, which is nearly always near its goal, as much.
            "oracle, the puck doubled": ["reward=state_distance", "reward.weights=[1,1,2,2]", *NO_HINDSIGHT],
        },
        figures=("puck_distance_m", "success_rate"),
        pairs=[
            ("oracle", "latent", "puck_distance_m"),
            ("oracle, the puck doubled", "latent", "puck_distance_m"),
            ("latent", "pixel", "puck_distance_m"),
            ("latent", "pixel, mean square", "puck_distance_m"),
            ("oracle", "latent", "success_rate"),
            ("oracle, the puck doubled", "latent", "success_rate"),
            ("latent", "pixel, mean square", "success_rate"),
            ("latent", "pixel", "success_rate"),
        ],
    ),
    "relabel": Experiment(
        "push_state",
        "Relabelling on Push by state: the mix is at least as good as each part alone.",
        {
            "mix": ["practice.go_explore=0"],
            "future": ["relabel=future", "practice.go_explore=0"],
            "sampler": ["relabel=sampler", "practice.go_explore=0"],
            "rollout": ["relabel=none", "practice.go_explore=0"],
        },
        seeds=(1, 2, 3),
        figures=("puck_distance_m", "success_rate"),
        pairs=[(("mix"), arm, "puck_distance_m") for arm in ("future", "sampler", "rollout")],
    ),
}
