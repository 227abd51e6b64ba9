"""PyBullet, imported without the build time that its C code prints: an error of one line stays one line."""

from __future__ import annotations

from envs.silence import descriptors_silenced

__all__ = ["bullet"]

with descriptors_silenced(1, 2):
    import pybullet as bullet
