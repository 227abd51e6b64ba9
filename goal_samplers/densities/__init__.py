"""Densities over stored rows: pieces of their own, for any sampler that asks how common a frame is."""
