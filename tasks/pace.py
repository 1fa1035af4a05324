"""How much time is left, by how fast it went so far."""


class Pace:
    """Reckons from the first step that is seen on: what came before it was compiling.

    No step before `steady_from` is seen, where compiling comes between the first ones.
    """

    def __init__(self, total: int, steady_from: int = 0) -> None:
        self._total, self._steady_from = total, steady_from
        self._first: tuple[int, float] | None = None

    def left(self, step: int, now: float) -> str:
        """Return the time left in words, empty for the first step and the last one.

        **Example**

        ```python
        pace = Pace(100)
        pace.left(10, now=0.0), pace.left(20, now=5.0)  # ("", "0:40 left")
        ```
        """
        if step < self._steady_from:
            return ""
        first_step, begun = self._first = self._first or (step, now)
        if step in {first_step, self._total}:
            return ""
        return clock((now - begun) / (step - first_step) * (self._total - step)) + " left"


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, or with hours where there are any.

    **Example**

    ```python
    clock(75.0)  # '1:15'
    ```
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
