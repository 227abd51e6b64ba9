"""The learning experiments whose outcomes stand in ``results/``: each a preset, its arms and its seeds."""

from __future__ import annotations

from benchmarks.experiment import Experiment

# What is compared of agents that learn from a dataset and then practise.
OFFLINE_FIGURES = ("offline:success_rate", "success_rate", "online_change")
OFFLINE_PAIRS = [
    (better, worse, "offline:success_rate") for better, worse in (("iql", "bc"), ("awac", "bc"), ("iql", "sac"), ("awac", "sac"))
]
LAYER_NORM = ["agent.layer_norm=true"]
SAC_MAZE = ["agent.batch_size=256", "agent.discount=0.99", "agent.lr=3e-4"]
PUSH_NETWORKS = ["agent.hidden=[128,128]", "agent.discount=0.97", "agent.lr=1e-3", "agent.tau=0.01", "agent.batch_size=256"]

# MEGA without its cutoff: an ideal policy has no values (corridor), and rewards by distance are not the paper's -1 per step (door).
MEGA = ["goal_sampler=mega", "goal_sampler.cutoff=null"]
RACE_CORRIDOR = {
    "skewfit_model": [],
    "skewfit, stored frames": ["goal_sampler=skewfit_distance"],
    "uniform": ["goal_sampler=uniform"],
    "mega": MEGA,
    "neighbours": ["goal_sampler=neighbours"],
    "commanded (a bound)": ["goal_sampler=commanded"],
}
RACE_DOOR = {
    "skewfit": [],
    "uniform": ["goal_sampler=uniform"],
    "mega": MEGA,
    "discover": ["goal_sampler=discover"],
    "neighbours": ["goal_sampler=neighbours"],
    "single": ["goal_sampler=single"],
    "commanded": ["goal_sampler=commanded"],
    "skewfit, go-explore": ["practice.go_explore=0.5"],
}
NO_HINDSIGHT = ["relabel.rollout=0.5", "relabel.future=0", "relabel.sampler=0.5"]
SMALL = ("door_angle_error", "puck_distance_m", "block_distance_m", "distance")

# End to end, minibatches half as large: an update takes many times as long as one on latents. Goals are stored frames, whole pictures.
PIXELS = ["representation=pixels", "goal_sampler=uniform", "agent=drq", "agent.batch_size=128", "practice.pool_size=512"]
PIXELS_PUSH = [*PIXELS, "agent.discount=0.97", "agent.mixed_precision=true"]  # the preset's discount, which `agent=` takes back

REPRESENTATIONS = {
    "vae": ["representation=vae"],
    "vae, feature points": ["representation.encoder=points", "representation.centre=true", "representation.first_steps=2500"],
    "pca": ["representation=pca", "representation.latent_dim=16"],
    "temporal": ["representation=temporal"],
    "contrastive": ["representation=contrastive"],
    "vqvae": ["representation=vqvae"],
}
REPRESENTATION_FIGURES = ("success_rate", "probe:r2_puck", "probe:r2_hand", "probe:follows_puck", "probe:follows_hand", "fit_s")
PUSH_DATA = ("env=push", "policy=noisy-scripted", "noise=0.5", "episodes=400")
TABLE_DATA = ("env=multi_push", "policy=noisy-scripted", "noise=0.3", "random_share=0", "episodes=600")
ANALOGIES = {
    "gcb": [],
    "vae": ["representation=vae"],
    "contrastive": ["representation=contrastive", "representation.latent_dim=16"],
}
# Tasks on Push that leave the arm and one coordinate of the puck free, as frames of random actions show them: half are commanded, half
# say what the set is.
PUSH_SETS = {
    name: ("n=200", "splits=[0.5,0,0.5]", f"where={{{bounds}}}", "seed=101")
    for name, bounds in {"left": "puck_y_m:[0.06,0.14]", "right": "puck_y_m:[-0.14,-0.06]", "far": "puck_x_m:[0.54,0.60]"}.items()
}
DISTRACTED = "env.distractors=3"

EXPERIMENTS: dict[str, Experiment] = {
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
    "corridor": Experiment(
        "corridor",
        "Skew-Fit's corridor: entropy on the 60×60 grid rises with −α; α = −1 covers at least 0.8 of the cells, α = 0 less than 0.1.",
        {"alpha=-1": ["goal_sampler.alpha=-1"], "alpha=-0.5": ["goal_sampler.alpha=-0.5"], "alpha=0": ["goal_sampler.alpha=0"]},
        figures=("visited_late:entropy", "visited:coverage"),
        pairs=[("alpha=-1", "alpha=-0.5", "visited_late:entropy"), ("alpha=-0.5", "alpha=0", "visited_late:entropy")],
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
    "door_explore_state": Experiment(
        "door_explore_state",
        "The hard-to-explore door by state: Skew-Fit beats samples of the density of the data and uniform replay in "
        "coverage of angles and in success.",
        {"skewfit": [], "rig": ["goal_sampler.alpha=0", "goal_sampler.goals=density"], "uniform": ["goal_sampler=uniform"]},
        figures=("success_rate", "door_angle_error", "visited:coverage", "visited:entropy"),
        pairs=[
            ("skewfit", "rig", "success_rate"),
            ("skewfit", "uniform", "success_rate"),
            ("skewfit", "rig", "visited:entropy"),
            ("skewfit", "uniform", "visited:entropy"),
        ],
    ),
    "door_explore": Experiment(
        "door_explore",
        "The hard-to-explore door from pixels: Skew-Fit beats the prior (RIG) and uniform replay in coverage of angles and in success.",
        {"skewfit": [], "rig": ["goal_sampler=prior"], "uniform": ["goal_sampler=uniform"]},
        seeds=(1, 2, 3),
        figures=("success_rate", "door_angle_error", "visited:coverage", "visited:entropy"),
        pairs=[
            ("skewfit", "rig", "success_rate"),
            ("skewfit", "uniform", "success_rate"),
            ("skewfit", "rig", "visited:entropy"),
            ("skewfit", "uniform", "visited:entropy"),
        ],
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
        RACE_DOOR,
        figures=("success_rate", "door_angle_error", "visited:coverage", "visited:entropy"),
        pairs=[("skewfit", arm, figure) for figure in ("success_rate", "visited:entropy") for arm in RACE_DOOR if arm != "skewfit"],
    ),
    "representations": Experiment(
        "representations",
        "Representations on Push from pixels: what a linear probe finds, whether distance follows the state, what an agent makes of each.",
        REPRESENTATIONS,
        seeds=(1, 2, 3),
        figures=REPRESENTATION_FIGURES,
        data=(*PUSH_DATA, "seed=101"),
        probe=(*PUSH_DATA[:-1], "episodes=100", "seed=102"),
    ),
    "representations_distracted": Experiment(
        "representations",
        "The same with three tiles that glide over the table, in the data, in what is probed and in what the agent meets.",
        {arm: [DISTRACTED, *overrides] for arm, overrides in REPRESENTATIONS.items()},
        seeds=(1, 2, 3),
        figures=REPRESENTATION_FIGURES,
        data=(*PUSH_DATA, DISTRACTED, "seed=101"),
        probe=(*PUSH_DATA[:-1], DISTRACTED, "episodes=100", "seed=102"),
    ),
    "analogies": Experiment(
        "analogies",
        "Goals shown by example in another scene, on a table with other things in every episode, by an agent that clones on latents: with "
        "GCB's at least 15 points above the VAE's and contrastive ones.",
        ANALOGIES,
        seeds=(1, 2, 3),
        figures=("analogy:success_rate", "analogy:object_distance_m", "success_rate"),
        pairs=[("gcb", arm, "analogy:success_rate") for arm in ANALOGIES if arm != "gcb"],
        data=(*TABLE_DATA, "seed=101"),
        analogies=True,
    ),
    "analogies_distracted": Experiment(
        "analogies",
        "The same with three tiles that glide over the table, in the data and in what the agent meets; GCB's drop from `analogies` is to "
        "be the smallest.",
        {arm: [DISTRACTED, *overrides] for arm, overrides in ANALOGIES.items()},
        seeds=(1, 2, 3),
        figures=("analogy:success_rate", "analogy:object_distance_m", "success_rate"),
        pairs=[("gcb", arm, "analogy:success_rate") for arm in ANALOGIES if arm != "gcb"],
        data=(*TABLE_DATA, DISTRACTED, "seed=101"),
        analogies=True,
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
    "fetch_push": Experiment(
        "fetch_push",
        "FetchPush-v4 from scratch with sparse rewards, at most an hour on two cores: success at least 0.9 (beside it: sb3_fetch).",
        {"ddpg+her": ["max_minutes=60"]},
        seeds=(1, 2, 3),
        figures=("success_rate", "distance"),
    ),
    "push": Experiment(
        "push",
        "Push from pixels, goals at least 8 cm from the puck's start: the puck's error at least halved against untrained.",
        {"skewfit": []},
        figures=("puck_distance_m", "success_rate"),
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
        pairs=[("disco", "examples", "sets:success_rate"), ("disco, log-density", "examples", "sets:success_rate")],
        frames=("env=push", "env.image_size=0", "policy=random", "random_hold=5", "episodes=400", "seed=101"),
        sets=PUSH_SETS,
    ),
    "relabel": Experiment(
        "push_state",
        "Relabelling on Push by state: the mix is at least as good as each part alone.",
        {
            "mix": [],
            "future": ["relabel=future"],
            "sampler": ["relabel=sampler"],
            "rollout": ["relabel=none"],
        },
        seeds=(1, 2, 3),
        figures=("puck_distance_m", "success_rate"),
        pairs=[(("mix"), arm, "puck_distance_m") for arm in ("future", "sampler", "rollout")],
    ),
    "stand_in": Experiment(
        "stand_in",
        "The door from pixels on a robot's stand-in, without reset, state or drawn goals: better than untrained, measured alike.",
        {"skewfit": []},
        seeds=(1, 2, 3),
        figures=("success_rate", "door_angle_error"),
    ),
    "demos": Experiment(
        "demos",
        "PickPlace by state, sparse rewards, 100 scripted demonstrations: demonstrations + Q-filter + HER far above HER alone, "
        "and above cloning.",
        {
            "demos+her": [],
            "her": ["dataset=", "agent.bc_weight=0"],
            "bc": ["agent=gcbc", "offline_share=1"],
            "demos+her, no filter": ["agent.q_filter=false"],
        },
        figures=("success_rate", "block_distance_m"),
        pairs=[
            ("demos+her", "her", "success_rate"),
            ("demos+her", "bc", "success_rate"),
            ("demos+her", "demos+her, no filter", "success_rate"),
        ],
        data=("env=pick_place", "env.image_size=0", "policy=scripted", "episodes=100", "states=true"),
    ),
    "demos_stack": Experiment(
        "demos_stack",
        "The same on a tower of two blocks, as it comes out.",
        {
            "demos+her": [],
            "her": ["dataset=", "agent.bc_weight=0"],
            "bc": ["agent=gcbc", "offline_share=1"],
        },
        figures=("success_rate", "block_distance_m"),
        pairs=[("demos+her", "her", "success_rate"), ("demos+her", "bc", "success_rate")],
        data=("env=stack", "env.image_size=0", "policy=scripted", "episodes=100", "states=true"),
    ),
    "offline_maze": Experiment(
        "offline_maze",
        "PointMaze_UMaze, sparse: from 300 random episodes alone, IQL and AWAC at least 20 points above cloning and above the best of "
        "untrained, random and zero actions, and no fall once practice begins; what SAC makes of the same data.",
        {
            "iql": [],
            "awac": ["agent=awac", "agent.discount=0.99", "agent.inverse_temperature=10", *LAYER_NORM, "agent.reward_range=[0,1]"],
            "bc": ["agent=gcbc", "relabel=geometric"],
            "sac": ["agent=sac", *SAC_MAZE],
            "sac, LayerNorm and clipped targets": ["agent=sac", *SAC_MAZE, *LAYER_NORM, "agent.reward_range=[0,1]"],
        },
        figures=OFFLINE_FIGURES,
        pairs=OFFLINE_PAIRS,
        data=("env=pointmaze", "policy=random", "random_hold=10", "episodes=300", "seed=101"),
    ),
    "offline_push": Experiment(
        "offline_push",
        "Push by state: from 500 random episodes alone, IQL and AWAC at least 20 points above cloning and above the best of untrained, "
        "random and zero actions, and no fall once practice begins; what SAC makes of the same data.",
        {
            "iql": [],
            "awac": ["agent=awac", *PUSH_NETWORKS, "agent.inverse_temperature=10", *LAYER_NORM, "agent.reward_range=[-1,0]"],
            "bc": ["agent=gcbc", "relabel=geometric", "agent.hidden=[128,128]", "agent.lr=1e-3"],
            "sac": ["agent=sac", *PUSH_NETWORKS],
            "sac, LayerNorm and clipped targets": ["agent=sac", *PUSH_NETWORKS, *LAYER_NORM, "agent.reward_range=[-1,0]"],
        },
        figures=OFFLINE_FIGURES,
        pairs=OFFLINE_PAIRS,
        data=("env=push", "env.image_size=0", "policy=random", "random_hold=5", "episodes=500", "seed=101"),
    ),
    "ptp_maze": Experiment(
        "ptp_maze",
        "OGBench's large maze by state, learnt offline from episodes of 100 steps: with planned subgoals at least twice the flat policy's "
        "success on the five far tasks.",
        {"flat": ["planner=none"], "shortest path": [], "hiql": ["agent=hiql", "agent.hidden=[128,128]", "planner=hiql"]},
        figures=("success_rate", "distance"),
        pairs=[("shortest path", "flat", "success_rate"), ("hiql", "flat", "success_rate")],
        data=(
            *("env=ogbench_pointmaze", "env.maze=large", "env.continuing=true", "env.horizon=100"),
            *("policy=noisy-scripted", "noise=0.5", "random_share=0", "episodes=2000", "simulators=20", "seed=101"),
        ),
    ),
    "ogbench_pointmaze": Experiment(
        "ogbench_pointmaze",
        "OGBench's pointmaze-medium, five tasks: QRL above GCIQL above GCBC (published 82 / 53 / 9 after 1M updates of 1024 rows "
        "on 512 × 3 units; here a tenth of the updates, of 256 rows on 256 × 2 units).",
        {
            "qrl": [],
            "gciql": ["agent=gciql", "agent.clone_weight=0.003", "relabel=ogbench"],
            "gcbc": ["agent=gcbc", "relabel=future"],
        },
        figures=("success_rate", "distance"),
        pairs=[("qrl", "gciql", "success_rate"), ("gciql", "gcbc", "success_rate")],
        data=(
            *("env=ogbench_pointmaze", "env.continuing=true", "policy=noisy-scripted", "noise=0.5", "random_share=0"),
            *("episodes=1000", "simulators=20", "seed=101"),
        ),
    ),
}
