"""Datasets of episodes in HDF5: `Header`, `Writer`, `Reader`, `info` and `describe`; the format is told in docs/datasets.md."""

from gcrl.data.info import describe, info
from gcrl.data.reader import Reader
from gcrl.data.schema import Header
from gcrl.data.writer import Writer

__all__ = ["Header", "Reader", "Writer", "describe", "info"]
