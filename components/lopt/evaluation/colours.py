"""What tells the lines of a plot apart."""

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which people with any kind of colour vision tell apart."""

MARKERS = ("", "o", "s", "^")
"""What tells lines apart once the colours are used up, a colour after another having the next."""


def colour_of(number: int) -> str:
    """Return the colour of the optimizer that has this number in its report.

    **Example**

    ```python
    colour_of(0)  # "#D55E00"
    ```
    """
    return COLOURS[number % len(COLOURS)]


def marker_of(number: int) -> str:
    """Return the marker of the optimizer that has this number in its report, "" for the first.

    **Example**

    ```python
    marker_of(7)  # "o"
    ```
    """
    return MARKERS[number // len(COLOURS) % len(MARKERS)]
