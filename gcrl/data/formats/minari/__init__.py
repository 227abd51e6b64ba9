"""Minari's HDF5 datasets (version 0.5): a folder with ``data/main_data.hdf5``, a group an episode, and ``data/metadata.json``."""

from gcrl.data.formats.minari.reading import Importer
from gcrl.data.formats.minari.writing import Exporter

__all__ = ["Exporter", "Importer"]
