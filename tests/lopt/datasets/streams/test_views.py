"""Which part of an image is seen, and that it is that part which is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.datasets.streams import standardised
from lopt.datasets.streams.decoding import UndecodableError, check, cut, open_image, scale_for
from lopt.datasets.streams.recipes import AREA, ASPECT, Box, central_box, random_box
from tests.lopt.datasets.streams.pictures import slope

SIDES = st.integers(1, 3_000)
NARROW = 0.5 + 1e-9  # pixels that rounding may take or give


@given(width=SIDES, height=SIDES, seed=st.integers(0, 2**31))
def test_a_random_part_lies_inside_the_image(width: int, height: int, seed: int) -> None:
    box = random_box(width, height, np.random.default_rng(seed))
    assert min(box.left, box.top) >= 0
    assert box.width > 0 < box.height
    assert box.left + box.width <= width + 1e-6
    assert box.top + box.height <= height + 1e-6


@given(width=st.integers(50, 3_000), height=st.integers(50, 3_000), seed=st.integers(0, 2**31))
def test_a_random_part_has_an_allowed_aspect(width: int, height: int, seed: int) -> None:
    box = random_box(width, height, np.random.default_rng(seed))
    assert (box.width + NARROW) / (box.height - NARROW) >= ASPECT[0]
    assert (box.width - NARROW) / (box.height + NARROW) <= ASPECT[1]


def test_random_parts_take_every_share_of_the_area_alike() -> None:
    rng = np.random.default_rng(0)
    boxes = [random_box(4_000, 4_000, rng) for _ in range(2_000)]
    shares = np.array([box.width * box.height for box in boxes]) / 4_000**2
    # Nearly all of a square cannot be had at another aspect, so the largest are fewer.
    counts, _ = np.histogram(shares, bins=4, range=(AREA[0], 0.75))
    assert counts.min() > 0.85 * counts.max()


def test_what_can_never_fit_is_the_largest_part_in_the_middle() -> None:
    assert random_box(3, 3_000, np.random.default_rng(0)) == Box(0, 1498, 3, 4)


@pytest.mark.parametrize(
    ("sides", "box"),
    [((500, 400), Box(75, 25, 350, 350)), ((64, 64), Box(0, 0, 64, 64))],
)
def test_evaluation_looks_at_the_middle_of_what_is_not_of_its_size(
    sides: tuple[int, int], box: Box
) -> None:
    assert central_box(*sides, size=64) == box


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("box", [Box(0, 0, 400, 300), Box(100, 50, 200, 200), Box(360, 30, 40, 60)])
@pytest.mark.parametrize("size", [8, 40, 224])
def test_what_is_cut_out_is_the_part_that_was_asked_for(form: str, box: Box, size: int) -> None:
    found = cut(open_image(slope(400, 300, form)), box, size).astype(float)
    x = box.left + (np.arange(size) + 0.5) * box.width / size - 0.5
    y = box.top + (np.arange(size) + 0.5) * box.height / size - 0.5
    edge = slice(1, -1)
    np.testing.assert_allclose(
        found[edge, edge, 0], np.tile(x * 250 / 399, (size, 1))[edge, edge], atol=5
    )
    np.testing.assert_allclose(
        found[edge, edge, 1].T, np.tile(y * 250 / 299, (size, 1))[edge, edge], atol=5
    )


def test_mirrored_is_the_mirror_image() -> None:
    box = Box(0, 0, 100, 80)
    plain, mirrored = (
        cut(open_image(slope(100, 80)), box, 10, mirrored=mirrored) for mirrored in (False, True)
    )
    np.testing.assert_array_equal(plain[:, ::-1], mirrored)


@given(width=st.floats(1, 3_000), height=st.floats(1, 3_000), size=st.integers(1, 300))
def test_a_jpeg_is_never_decoded_smaller_than_it_is_needed(
    width: float, height: float, size: int
) -> None:
    scale = scale_for(Box(0, 0, width, height), size)
    assert scale in (1, 2, 4, 8)
    assert scale == 1 or min(width, height) / scale >= size
    assert scale == 8 or min(width, height) / (2 * scale) < size


def test_bare_pixels_are_taken_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    image = open_image(pixels.tobytes(), sides=(6, 4))
    np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_half_a_file_cannot_be_decoded(form: str) -> None:
    content = slope(400, 300, form)
    check(content)
    for part in (content[: len(content) // 2], content[:3], b""):
        with pytest.raises(UndecodableError):
            check(part)


def test_standardised_levels_have_the_mean_and_deviation_of_imagenet() -> None:
    levels = np.stack([np.full((2, 2, 3), level, np.uint8) for level in (0, 255)])
    found = standardised(levels)
    assert found.dtype == np.float32
    expected = [
        [(level - m) / d for m, d in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
        for level in (0, 1)
    ]
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-5)
