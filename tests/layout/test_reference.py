"""Pages of the documentation that programs write are what those programs write now."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def made_and_written(name: str) -> tuple[str, str]:
    made = runpy.run_path(str(DOCS / f"make_{name}.py"))["text"]()
    return made, (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_the_page_of_all_keys_is_that_of_the_models_which_check_confs() -> None:
    made, written = made_and_written("reference")
    assert written == made, "Run PYTHONPATH=. .venv/bin/python docs/make_reference.py"


def test_nothing_that_the_catalogue_says_is_out_of_date() -> None:
    """It may lack what is new, so that a new problem is one new file."""
    made, written = made_and_written("catalogue")
    stale = set(written.splitlines()) - set(made.splitlines())
    assert not stale, "Run PYTHONPATH=. .venv/bin/python docs/make_catalogue.py"
