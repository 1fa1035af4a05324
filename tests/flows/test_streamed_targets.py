"""Images that are decoded while a network learns, evaluated by the flow and its command."""

from pathlib import Path

import pytest

from tasks.references import ReportReference
from tests.flows.test_commands import run

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]


def scores_are_whole(report: ReportReference, target: str, test_images: int) -> None:
    import numpy as np

    from lopt.evaluation import Report

    cells = Report.read(Path(report.directory)).cells
    assert [(cell.target, cell.optimizer) for cell in cells] == [
        (target, "learned"),
        (target, "Adam"),
    ]
    for cell, rates in zip(cells, (1, 2), strict=True):
        assert cell.losses.shape == (rates, 2, 3)
        assert np.isfinite(cell.losses).all()
        # It has learned something, and from other images at each seed.
        assert (np.diff(cell.losses) != 0).all()
        assert len(np.unique(cell.losses[0, :, -1])) == 2
        assert set(cell.metrics) == {"test_loss", "test_accuracy", "training_accuracy"}
        assert all(np.isfinite(values).all() for values in cell.metrics.values())
        right = cell.metrics["test_accuracy"] * test_images
        np.testing.assert_allclose(right, np.round(right), atol=1e-3)
        assert ((right >= 0) & (right <= test_images)).all()


def test_streamed_images_are_evaluated_by_name_and_no_cell_is_computed_twice(
    evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import cells

    report = evaluate("encoded_digits@8/softmax")
    scores_are_whole(report, "encoded_digits@8/softmax", test_images=355)
    monkeypatch.setattr(cells, "_computed", None)
    assert evaluate("encoded_digits@8/softmax") == report


@pytest.mark.usefixtures("tars_of_imagenet")
def test_imagenet_as_it_was_published_is_evaluated_once_it_is_prepared(evaluate) -> None:
    # With a network that remembers, as ImageNet's do.
    report = evaluate("imagenet2012@8/convnet-batchnorm")
    scores_are_whole(report, "imagenet2012@8/convnet-batchnorm", test_images=5)


def test_what_is_not_prepared_and_names_that_are_wrong_are_a_line_each_before_any_work(
    tmp_path: Path,
) -> None:
    wrong = ["imagenet2012@64/softmax", "encoded_digit@8/softmax", "encoded_digits@16/resnet50"]
    command = ("flows.evaluate_release", "--set", f"targets=[{', '.join(wrong)}]")
    done = run(tmp_path / "home", *command, HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    unknown, too_small, not_prepared = done.stderr.splitlines()
    assert unknown.startswith("evaluation.targets: 'encoded_digit@8/softmax' is not allowed; ")
    assert "such as encoded_digits@32 of encoded_digits, imagenet2012, " in unknown
    assert too_small.startswith("evaluation.targets: 'encoded_digits@16/resnet50' is not allowed;")
    assert too_small.endswith("at least 32 x 32 pixels, but the images have 16 x 16 x 3")
    assert not_prepared.startswith("evaluation.targets: those on imagenet2012 are not allowed; ")
    assert "`python -m flows.prepare_datasets --set names=[imagenet2012] --set" in not_prepared
    assert f"{tmp_path} lacks ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar" in (
        not_prepared.replace("/tensorflow_datasets/downloads/manual", "")
    )
    assert not (tmp_path / "home" / "mlflow.db").exists()
    assert not (tmp_path / "home" / "datasets").exists()
