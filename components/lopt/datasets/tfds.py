"""TFDS, imported so that other threads import as ever meanwhile. Nobody else imports it."""

from lopt.datasets.postponed_imports import keep_to_their_thread

keep_to_their_thread()

import tensorflow_datasets as tfds  # noqa: E402 what it does to other threads is prevented before
from tensorflow_datasets.core.download.download_manager import (  # noqa: E402
    NonMatchingChecksumError,
)
from tensorflow_datasets.core.download.util import DownloadError  # noqa: E402
from tensorflow_datasets.image_classification import cifar, mnist  # noqa: E402

__all__ = ["DownloadError", "NonMatchingChecksumError", "cifar", "mnist", "tfds"]
