"""Goal-conditioned agents; configurations name them as ``gcrl.agents.sac:SAC``, ``.td3:TD3``, ``.dqn:DQN``, ``.scripted:Oracle``."""
