"""Pages of HTML that need no other file, and what they are made of."""

import html
from collections.abc import Mapping

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 78rem; margin: 2rem auto;
  padding: 0 1.5rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
.digest { color: #666; font-family: monospace; overflow-wrap: anywhere; }
.numbers { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; margin: 1.5rem 0; }
.numbers li { list-style: none; border: 1px solid #ddd; border-radius: 6px; padding: .5rem 1.2rem; }
.numbers b { display: block; font-size: 1.6rem; }
.warning { background: #fff3e0; border-left: 5px solid #d55e00; padding: .6rem 1rem; }
img { max-width: 100%; display: block; margin: .5rem 0; }
table { border-collapse: collapse; font-size: 13px; }
th { text-align: left; border-bottom: 2px solid #888; }
td, th { padding: .2rem .7rem .2rem 0; vertical-align: top; }
td { border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.note { color: #555; max-width: 60rem; }
summary { cursor: pointer; font-weight: bold; }
"""


def document(title: str, body: str, head: str = "") -> str:
    """Return a whole page; `body` and `head`, which styles and scripts are put into, are HTML.

    **Example**

    ```python
    Path("page.html").write_text(document("Problems", "<h1>Problems</h1>"), encoding="utf-8")
    ```
    """
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{head}</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def note(text: str) -> str:
    """Return a paragraph that explains; the text is HTML.

    **Example**

    ```python
    note("Losses are free of noise.")
    ```
    """
    return f'<p class="note">{text}</p>'


def details(summary: str, content: str) -> str:
    """Return what is seen only when asked for; both are HTML.

    **Example**

    ```python
    details("All entries", table)
    ```
    """
    return f"<details><summary>{summary}</summary>{content}</details>"


def numbers(named: Mapping[str, int | float]) -> str:
    """Return a row of large numbers with their names below them.

    **Example**

    ```python
    numbers({"targets": 8, "seeds": 8})
    ```
    """
    items = "".join(f"<li><b>{number:,.6g}</b>{name}</li>" for name, number in named.items())
    return f'<ul class="numbers">{items}</ul>'
