"""The 1,797 handwritten digits that scikit-learn carries with it, as images in two splits."""

import numpy as np
from jaxtyping import Int, UInt8

LabelledDigits = tuple[UInt8[np.ndarray, "digits 8 8"], Int[np.ndarray, " digits"]]


def labelled_digits() -> dict[str, LabelledDigits]:
    """Return images of 8x8 pixels and labels of the splits "train" and "test", 1,442 and 355.

    scikit-learn's grey levels 0 to 16 are spread over 0 to 255, as in other data sets. Of each
    class every fifth image, in scikit-learn's order, is for testing.

    **Example**

    ```python
    images, labels = labelled_digits()["train"]
    ```
    """
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    images = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    test = rank_in_class(labels) % 5 == 4
    return {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """Count for each label how often it has stood before.

    **Example**

    ```python
    rank_in_class(np.array([7, 3, 7, 7]))  # [0, 0, 1, 2]
    ```
    """
    ranks = np.empty_like(labels)
    for label in np.unique(labels):
        (places,) = np.nonzero(labels == label)
        ranks[places] = np.arange(places.size)
    return ranks
