"""Images of any size, kept as the files they are and decoded while a network learns from them."""

from lopt.datasets.streams.encoded_set import EncodedSet, open_encoded
from lopt.datasets.streams.position import Position
from lopt.datasets.streams.preparation import images_directory, prepare_images
from lopt.datasets.streams.recipes import standardised
from lopt.datasets.streams.sources import IMAGE_SOURCES, missing_files
from lopt.datasets.streams.stream import LabelledBatch, Stream, open_stream

__all__ = [
    "IMAGE_SOURCES",
    "EncodedSet",
    "LabelledBatch",
    "Position",
    "Stream",
    "images_directory",
    "missing_files",
    "open_encoded",
    "open_stream",
    "prepare_images",
    "standardised",
]
