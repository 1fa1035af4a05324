"""A figure as one HTML file that needs no other."""

import base64
import html
from collections.abc import Mapping

from lopt.evaluation.page import html_table
from lopt.evaluation.tables import Table
from lopt.web_page import document, note


def figure_page(
    title: str, caption: str, picture: bytes, summary: Table, facts: Mapping[str, str]
) -> str:
    """Return the page: the picture (a PNG), what it shows, its main numbers and its origin.

    **Example**

    ```python
    page = figure_page("Robustness", "Bands are ...", png, table, {"commit": "c0ffee"})
    ```
    """
    encoded = base64.b64encode(picture).decode()
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,{encoded}">',
        note(html.escape(caption)),
        html_table(summary),
        "<h2>Where this comes from</h2>",
        html_table(Table(("what", "value"), tuple(facts.items()))),
    ]
    return document(title, "\n".join(parts))
