"""Pages of the documentation that programs write are what those programs write now."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["reference", "catalogue"])
def test_the_page_is_what_its_program_writes(name: str) -> None:
    made = runpy.run_path(str(DOCS / f"make_{name}.py"))["text"]()
    written = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert written == made, f"Run PYTHONPATH=. .venv/bin/python docs/make_{name}.py"
