"""The sizes of Inception V3, table 1 and figures 5 to 7 of Szegedy et al. 2016, as Keras has them.

https://arxiv.org/abs/1512.00567, https://keras.io/api/applications/inceptionv3
"""

from typing import Literal, NamedTuple

Pool = Literal["", "average", "max"]


class Window(NamedTuple):
    """A convolution; "VALID" ones have no zeros beyond the edge."""

    filters: int
    rows: int
    columns: int
    stride: int = 1
    padding: Literal["SAME", "VALID"] = "SAME"


class BranchSizes(NamedTuple):
    """Convolutions one after the other, pooling before them, and side by side those at the end."""

    chain: tuple[Window, ...]
    pool: Pool = ""
    ends: tuple[Window, ...] = ()


Block = tuple[BranchSizes, ...]
ACROSS_AND_DOWN = (Window(384, 1, 3), Window(384, 3, 1))


BEFORE_BLOCKS: tuple[BranchSizes, ...] = (
    BranchSizes(
        (Window(32, 3, 3, 2, "VALID"), Window(32, 3, 3, padding="VALID"), Window(64, 3, 3))
    ),
    BranchSizes((Window(80, 1, 1), Window(192, 3, 3, padding="VALID")), "max"),
    BranchSizes((), "max"),
)
"""One after the other, where those of a block are side by side."""


def _first(pooled: int) -> Block:
    return (
        BranchSizes((Window(64, 1, 1),)),
        BranchSizes((Window(48, 1, 1), Window(64, 5, 5))),
        BranchSizes((Window(64, 1, 1), Window(96, 3, 3), Window(96, 3, 3))),
        BranchSizes((Window(pooled, 1, 1),), "average"),
    )


def _second(narrow: int) -> Block:
    across, down = Window(narrow, 1, 7), Window(narrow, 7, 1)
    begin = Window(narrow, 1, 1)
    return (
        BranchSizes((Window(192, 1, 1),)),
        BranchSizes((begin, across, Window(192, 7, 1))),
        BranchSizes((begin, down, across, down, Window(192, 1, 7))),
        BranchSizes((Window(192, 1, 1),), "average"),
    )


FIRST_REDUCTION: Block = (
    BranchSizes((Window(384, 3, 3, 2, "VALID"),)),
    BranchSizes((Window(64, 1, 1), Window(96, 3, 3), Window(96, 3, 3, 2, "VALID"))),
    BranchSizes((), "max"),
)
SECOND_REDUCTION: Block = (
    BranchSizes((Window(192, 1, 1), Window(320, 3, 3, 2, "VALID"))),
    BranchSizes(
        (
            Window(192, 1, 1),
            Window(192, 1, 7),
            Window(192, 7, 1),
            Window(192, 3, 3, 2, "VALID"),
        )
    ),
    BranchSizes((), "max"),
)
THIRD: Block = (
    BranchSizes((Window(320, 1, 1),)),
    BranchSizes((Window(384, 1, 1),), ends=ACROSS_AND_DOWN),
    BranchSizes((Window(448, 1, 1), Window(384, 3, 3)), ends=ACROSS_AND_DOWN),
    BranchSizes((Window(192, 1, 1),), "average"),
)
BLOCKS: tuple[Block, ...] = (
    *(_first(pooled) for pooled in (32, 64, 64)),
    FIRST_REDUCTION,
    *(_second(narrow) for narrow in (128, 160, 160, 192)),
    SECOND_REDUCTION,
    *(THIRD,) * 2,
)
