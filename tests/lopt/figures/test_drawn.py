"""A figure on disk: everything in one new folder, the same thing once."""

import base64
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from lopt.evaluation.tables import Table
from lopt.figures import Drawn, write


def drawn(number: float = 1.0) -> Drawn:
    figure = Figure()
    figure.subplots().plot([0.0, number])
    tables = {"curves": pd.DataFrame({"loss": [number]})}
    summary = Table(("optimizer", "score"), (("<Adam>", f"{number}"),))
    return Drawn("A title & more", "What is drawn.", figure, tables, summary)


def test_picture_tables_and_page_are_written_and_named(tmp_path: Path) -> None:
    written = write(drawn(), tmp_path / "figures", "figure_3", {"release": "c0ffee"})
    assert written.directory.name == f"figure_3-{written.digest[:16]}"
    files = [written.picture, written.page, *written.tables]
    assert sorted(written.directory.iterdir()) == sorted(files)
    assert written.picture.read_bytes().startswith(b"\x89PNG")
    assert pd.read_parquet(written.tables[0])["loss"].tolist() == [1.0]


def test_the_page_holds_the_picture_and_says_where_it_comes_from(tmp_path: Path) -> None:
    written = write(drawn(), tmp_path, "figure_3", {"release": "c0ffee"})
    page = written.page.read_text()
    assert base64.b64encode(written.picture.read_bytes()).decode() in page
    for text in ("A title &amp; more", "&lt;Adam&gt;", "What is drawn.", "c0ffee"):
        assert text in page


def test_the_same_figure_is_one_folder_and_another_is_another(tmp_path: Path) -> None:
    first, again, other = (write(drawn(n), tmp_path, "figure_3", {}) for n in (1.0, 1.0, 2.0))
    assert first == again
    assert other.directory != first.directory
    assert len(list(tmp_path.iterdir())) == 2


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    broken = drawn()._replace(tables={"curves": None})
    with pytest.raises(AttributeError):
        write(broken, tmp_path, "figure_3", {})
    assert list(tmp_path.iterdir()) == []
