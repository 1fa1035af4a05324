"""The page of all keys is that of the models which check confs."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_page_is_made_of_what_checks_confs() -> None:
    made = runpy.run_path(str(DOCS / "make_reference.py"))["text"]()
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == made, "Run .venv/bin/python docs/make_reference.py"
