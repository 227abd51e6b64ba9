"""What representations are worth, and goals shown by example."""

from __future__ import annotations

from benchmarks.experiment import Experiment

ARMS = {
    "vae": ["representation=vae"],
    "vae, feature points": ["representation.encoder=points", "representation.centre=true", "representation.first_steps=2500"],
    "pca": ["representation=pca", "representation.latent_dim=16"],
    "temporal": ["representation=temporal"],
    "contrastive": ["representation=contrastive"],
    "augmentation alone": ["representation=contrastive", "representation.reach=0", "representation.shift=4"],
    "vqvae": ["representation=vqvae", "representation.prior_steps=0"],
    "gcb": ["representation=gcb"],
    "state (a bound)": ["representation=identity"],
}
REPRESENTATION_FIGURES = ("success_rate", "probe:r2_puck", "probe:r2_hand", "probe:follows_puck", "probe:follows_hand", "fit_s")
PUSH_DATA = ("env=push", "policy=noisy-scripted", "noise=0.5", "episodes=400")
LOOKS_DATA = ("env=push", "env.randomise=[colours,light]", "policy=noisy-scripted", "noise=0.5", "episodes=1200")
PLAIN_VAE = [  # as many latents as the context's, as many minibatches, and colour counts as much
    *("representation=vae", "representation.latent_dim=32", "representation.first_steps=15000"),
    *("representation.centre=true", "representation.colour_weight=3"),
]
ANALOGIES = {
    "gcb": [],
    "vae": ["representation=vae"],
    "vae, feature points": ["representation=vae", *ARMS["vae, feature points"]],
    # as many latents as GCB and contrastive have
    "vae, 16 latents": ["representation=vae", "representation.latent_dim=16"],
    "vae, feature points, 16 latents": ["representation=vae", "representation.latent_dim=16", *ARMS["vae, feature points"]],
    "contrastive": ["representation=contrastive", "representation.latent_dim=16"],
    "augmentation alone": ["representation.latent_dim=16", *ARMS["augmentation alone"]],
    "state (a bound)": ["representation=identity"],
}
PAIRS = [("gcb", arm, "success_rate") for arm in ARMS if arm != "gcb"]  # named after the runs: what the means let one ask
COMPARED = ("gcb", "vae", "vae, feature points", "contrastive")
ANALOGY_FIGURES = ("analogy:success_rate", "analogy:puck_distance_m", "success_rate")
ANALOGY_PAIRS = [("gcb", arm, "analogy:success_rate") for arm in ANALOGIES if arm != "gcb"]
DISTRACTED = "env.distractors=3"

REPRESENTATIONS: dict[str, Experiment] = {
    "representations": Experiment(
        "representations",
        "Representations on Push from pixels: what a linear probe finds, whether distance follows the state, what an agent makes of each.",
        ARMS,
        seeds=(1, 2, 3),
        figures=REPRESENTATION_FIGURES,
        pairs=PAIRS,
        data=(*PUSH_DATA, "seed=101"),
        probe=(*PUSH_DATA[:-1], "episodes=100", "seed=102"),
    ),
    "representations_distracted": Experiment(
        "representations",
        "The same with three tiles that glide over the table, in the data, in what is probed and in what the agent meets.",
        {arm: [DISTRACTED, *overrides] for arm, overrides in ARMS.items()},
        seeds=(1, 2, 3),
        figures=REPRESENTATION_FIGURES,
        pairs=PAIRS,
        data=(*PUSH_DATA, DISTRACTED, "seed=101"),
        probe=(*PUSH_DATA[:-1], DISTRACTED, "episodes=100", "seed=102"),
    ),
    "analogies": Experiment(
        "analogies",
        "Goals shown by example in another scene, where every episode has colours and light of its own, to an agent that clones on "
        "latents: with GCB's at least 15 points above the VAE's and contrastive ones.",
        ANALOGIES,
        seeds=(1, 2, 3),
        figures=ANALOGY_FIGURES,
        pairs=ANALOGY_PAIRS,
        data=(*LOOKS_DATA, "seed=101"),
        analogies=True,
    ),
    "analogies_distracted": Experiment(
        "analogies",
        "The same with three tiles that glide over the table, in the data and in what the agent meets; GCB's drop from `analogies` is to "
        "be the smallest.",
        {arm: [DISTRACTED, *ANALOGIES[arm]] for arm in COMPARED},
        seeds=(1, 2, 3),
        figures=ANALOGY_FIGURES,
        pairs=[pair for pair in ANALOGY_PAIRS if pair[1] in COMPARED],
        data=(*LOOKS_DATA, DISTRACTED, "seed=101"),
        analogies=True,
    ),
    "cc_rig": Experiment(
        "cc_rig",
        "Things never met before, pushed where they are shown: cloned from play with other things, then practised toward imagined goals. "
        "Goals that are imagined for the scene at hand (CC-RIG) lead to more success than a VAE's, which may show any things (RIG).",
        {"cc_rig": [], "rig": PLAIN_VAE},
        seeds=(1, 2, 3),
        figures=("offline:success_rate", "success_rate", "online_change", "object_distance_m"),
        pairs=[("cc_rig", "rig", figure) for figure in ("success_rate", "online_change", "offline:success_rate")],
        data=(
            *("env=multi_push", "policy=noisy-play", "noise=0.1", "random_share=0.03", "play_goals=4", "episodes=3000"),
            "seed=101",
        ),
    ),
    "val": Experiment(
        "val",
        "A table with things never met: learnt offline on other tables, then 28,800 steps toward what this one could become, as "
        "a VQ-VAE's prior imagines it (VAL). Success rises by at least 20 points, and by more than toward replayed states.",
        {"val": [], "replayed goals": ["goal_sampler=uniform"]},
        seeds=(1, 2, 3),
        figures=("offline:success_rate", "success_rate", "online_change"),
        pairs=[("val", "replayed goals", figure) for figure in ("success_rate", "online_change")],
        data=(
            *("env=tabletop", "env.horizon=120", "policy=noisy-play", "noise=0.05", "random_share=0.03", "play_goals=6", "episodes=3000"),
            "seed=101",
        ),
    ),
}
