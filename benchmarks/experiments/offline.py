"""What is learnt from datasets, demonstrations among them, and from plans."""

from __future__ import annotations

from typing import Any

from benchmarks.experiment import Experiment

# What is compared of agents that learn from a dataset and then practise.
OFFLINE_FIGURES = ("offline:success_rate", "success_rate", "online_change")
OFFLINE_PAIRS = [
    (better, worse, "offline:success_rate") for better, worse in (("iql", "bc"), ("awac", "bc"), ("iql", "sac"), ("awac", "sac"))
]
LAYER_NORM = ["agent.layer_norm=true"]
SAC_MAZE = ["agent.batch_size=256", "agent.discount=0.99", "agent.lr=3e-4"]
PUSH_NETWORKS = ["agent.hidden=[128,128]", "agent.discount=0.97", "agent.lr=1e-3", "agent.tau=0.01", "agent.batch_size=256"]

DEMOS = {"demos+her": [], "her": ["dataset=", "agent.bc_weight=0"], "bc": ["agent=gcbc", "offline_share=1"]}
DEMOS_FIGURES = ("success_rate", "block_distance_m")
DEMOS_PAIRS = [("demos+her", arm, "success_rate") for arm in ("her", "bc")]

MPPI = ["planner.method=mppi", "planner.candidates=1024", "planner.iterations=20"]
REPLANNED = {
    "flat": ["planner=none"],
    "mppi": MPPI,
    "no doubt": ["planner.doubt_weight=0"],
    "mppi, no doubt": [*MPPI, "planner.doubt_weight=0"],
    "2 subgoals": ["planner.subgoals=2"],
}
SKILLS = (
    *("env=drawer_pick_push", "env.image_size=0", "policy=noisy-play", "noise=0.1", "random_share=0.05", "play_goals=8"),
    *("episodes=4800", "seed=101"),
)
# As ptp_drawer was when its table was made.
PLAIN = [
    *("agent.average=0", "agent.exploration=1", "planner.candidates=8192", "planner.iterations=25", "planner.refit_steps=300"),
    *("planner.rest=false", "planner.attempt_weight=0", "practice.updates_per_epoch=10000", "reward=environment"),
]
COUNTS = {f"{count} subgoal{'s' * (count > 1)}": [f"planner.subgoals={count}"] for count in (1, 2, 8)}
ABLATED = {
    "without attempts": ("practised", ["planner.attempt_weight=0"]),
    **{arm: ("practised", plan) for arm, plan in COUNTS.items()},
    "flat": ("practised", ["planner=none"]),
}
PRACTISED: dict[str, Any] = {
    "figures": ("offline:success_rate", "success_rate", "online_change", "by_task:task_a", "by_task:task_b", "by_task:task_c"),
    "pairs": [*(("practised", arm, "success_rate") for arm in ABLATED), ("practised", "without attempts", "by_task:task_c")],
    "data": SKILLS,
    "replanned": ABLATED,
}
UNFILMED, MOVED = "practice.film_goals=0", "practice.keep_agent=false"
# Planners of other time scales for the policies of "planned": their one update is too small to move them.
REFITTED = ["init_from=planned", "offline_updates=1", "agent.lr=1e-8", UNFILMED]
SCALED = {"scales 60 and 30, 8 subgoals": [*REFITTED, "planner.scales=[60,30]", "planner.subgoals=8"]}
PLANS = {
    **COUNTS,
    "the end alone": ["planner.doubt_weight=0", "planner.cost.code_weight=0", "planner.cost.way_weight=0"],
    "flat": ["planner=none"],
}

OFFLINE: dict[str, Experiment] = {
    "demos": Experiment(
        "demos",
        "PickPlace by state, sparse rewards, 100 scripted demonstrations: demonstrations + Q-filter + HER far above HER alone, "
        "and above cloning.",
        {**DEMOS, "demos+her, no filter": ["agent.q_filter=false"]},
        figures=DEMOS_FIGURES,
        pairs=[*DEMOS_PAIRS, ("demos+her", "demos+her, no filter", "success_rate")],
        data=("env=pick_place", "env.image_size=0", "policy=scripted", "episodes=100", "states=true"),
    ),
    "demos_noisy": Experiment(
        "demos",
        "The same with demonstrations that leave something to gain: of an expert disturbed by noise and random actions, which ends at its "
        "goal in about half of them.",
        DEMOS,
        figures=DEMOS_FIGURES,
        pairs=DEMOS_PAIRS,
        data=(
            *("env=pick_place", "env.image_size=0", "policy=noisy-scripted", "noise=0.1", "random_share=0.1", "episodes=100"),
            *("states=true", "seed=101"),
        ),
    ),
    "demos_stack": Experiment(
        "demos_stack",
        "The same on a tower of two blocks, as it comes out.",
        DEMOS,
        figures=DEMOS_FIGURES,
        pairs=DEMOS_PAIRS,
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
    "ptp_drawer": Experiment(
        "ptp_drawer",
        "Long tasks of drawer, block and cylinder by state (A push, open; B open, put in; C push, open, put in, close), learnt "
        "offline from single skills: planned subgoals above the flat policy. The same runs under other plans: searched as PTP does, and "
        "without doubt of what no data show, one of the two and both; fewer subgoals.",
        {"planned": PLAIN},
        figures=("success_rate", "by_task:task_a", "by_task:task_b", "by_task:task_c", "worst_distance_m"),
        pairs=[("planned", arm, figure) for figure in ("success_rate", "by_task:task_c") for arm in REPLANNED],
        data=SKILLS,
        replanned={arm: ("planned", planner) for arm, planner in REPLANNED.items()},
    ),
    "ptp_practice": Experiment(
        "ptp_drawer",
        "The long tasks of ptp_drawer, then practised for 384 episodes by planned subgoals: plans learn which subgoals attempts come to, "
        "and the policy goes on cloning the dataset. Success rises by practice; the same runs without what plans learnt of attempts "
        "(what as many updates offline come to), with other numbers of subgoals, and without a plan.",
        {"practised": ["practice.epochs=8", MOVED, UNFILMED]},
        seeds=(11, 12, 13, 14, 15),
        **PRACTISED,
    ),
    "ptp_practice_kept": Experiment(
        "ptp_drawer",
        "As ptp_practice, where the policy stays as the dataset made it: practice teaches plans alone, and without what they learnt of "
        "attempts the runs are what they were before practice. Success rises by practice.",
        {"practised": ["practice.epochs=8", UNFILMED]},
        seeds=(16, 17, 18, 19, 20),
        **PRACTISED,
    ),
    "ptp_practice_cloned": Experiment(
        "ptp_drawer",
        "As ptp_practice for 240 episodes, where the policy also clones what came to its subgoal: a quarter of each minibatch.",
        {"practised": ["practice.epochs=5", MOVED, "offline_share=0.75", UNFILMED]},
        seeds=(6, 7, 8, 9, 10),
        **PRACTISED,
    ),
    "ptp_ablations": Experiment(
        "ptp_drawer",
        "The long tasks of ptp_drawer, offline, as the preset is now: one policy a seed under plans of 1, 2, 4 and 8 subgoals, plans of "
        "two time scales, plans judged by where they end alone, and none.",
        {"planned": [UNFILMED], **SCALED},
        seeds=(21, 22, 23, 24, 25),
        figures=("success_rate", "by_task:task_a", "by_task:task_b", "by_task:task_c", "worst_distance_m"),
        pairs=[("planned", arm, "success_rate") for arm in (*SCALED, *PLANS)],
        data=SKILLS,
        replanned={arm: ("planned", planner) for arm, planner in PLANS.items()},
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
