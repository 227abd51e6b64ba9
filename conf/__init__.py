"""The Hydra configuration groups, a package so that the wheel carries them."""
