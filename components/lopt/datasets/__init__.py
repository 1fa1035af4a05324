"""Data sets: prepared once by TFDS, kept as Arrow files, read from memory maps."""

from lopt.datasets.batching import images_to_float, shuffled_batches
from lopt.datasets.data_set import DataSet, Split, open_dataset
from lopt.datasets.errors import DataSetError, NotPreparedError
from lopt.datasets.preparation import dataset_directory, prepare
from lopt.datasets.sources import SOURCES

__all__ = [
    "SOURCES",
    "DataSet",
    "DataSetError",
    "NotPreparedError",
    "Split",
    "dataset_directory",
    "images_to_float",
    "open_dataset",
    "prepare",
    "shuffled_batches",
]
