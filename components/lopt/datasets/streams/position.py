"""Where in a data set a stream is."""

from typing import NamedTuple


class Position(NamedTuple):
    """The batch that comes next, counted from 0 in its epoch: all that resuming has to know.

    **Example**

    ```python
    Position(epoch=2, batch=17)
    ```
    """

    epoch: int = 0
    batch: int = 0


BEGINNING = Position()


def position_of(step: int, batches_per_epoch: int) -> Position:
    """Return the position after `step` batches from the beginning.

    **Example**

    ```python
    position_of(12, batches_per_epoch=5)  # Position(epoch=2, batch=2)
    ```
    """
    return Position(*divmod(step, batches_per_epoch))


def step_of(position: Position, batches_per_epoch: int) -> int:
    """Return how many batches lie before a position.

    Raises `ValueError` if an epoch has no such batch.

    **Example**

    ```python
    step_of(Position(epoch=2, batch=2), batches_per_epoch=5)  # 12
    ```
    """
    if position.epoch < 0 or not 0 <= position.batch < batches_per_epoch:
        raise ValueError(
            f"There is no {position}: epochs are counted from 0, and an epoch has the batches 0 to "
            f"{batches_per_epoch - 1}. A position of another batch size is of no use here."
        )
    return position.epoch * batches_per_epoch + position.batch
