from math import inf, isnan, nan
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

import lopt.meta_gradients
from lopt.architectures import GlobalLearningRate
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import MetaGradient
from tasks import meta_rows

ESTIMATORS = concrete_classes(lopt.meta_gradients, MetaGradient)


class Given:
    """What a dispatch gave, as `MetaMetrics` says it."""

    def __init__(self, first_meta_step: int, *rows: dict[str, float]) -> None:
        self.first_meta_step, self._rows = first_meta_step, rows
        self.families = tuple(
            name.removeprefix("meta/loss/") for name in rows[0] if name.startswith("meta/loss/")
        )

    @property
    def steps(self) -> int:
        return len(self._rows)

    def rows(self) -> list[dict[str, float]]:
        return list(self._rows)


def row(steps: float = 60.0, **losses: float) -> dict[str, float]:
    by_family = {f"meta/loss/{name}": loss for name, loss in losses.items()}
    return {"inner/steps": steps, "meta/loss": 99.0} | by_family


def test_a_row_is_of_the_last_meta_step_of_a_dispatch() -> None:
    rows = meta_rows.MetaRows({"a": 1.0})
    given = [Given(1, *[row(a=-1.0)] * 3), Given(4, row(a=-1.0)), Given(5, *[row(a=-1.0)] * 2)]
    assert [rows.of(one)[0] for one in given] == [3, 4, 6]


def test_the_loss_is_that_of_all_families_as_they_were_last_once_all_are_known() -> None:
    rows = meta_rows.MetaRows({"a": 1.0, "b": 3.0})
    assert "meta/loss" not in rows.of(Given(1, row(a=-1.0)))[1]
    assert rows.of(Given(2, row(b=-2.0)))[1]["meta/loss"] == pytest.approx((-1.0 - 6.0) / 4)
    assert rows.of(Given(3, row(b=-4.0)))[1]["meta/loss"] == pytest.approx((-1.0 - 12.0) / 4)


def test_losses_are_the_means_of_a_dispatch() -> None:
    rows = meta_rows.MetaRows({"a": 1.0, "b": 3.0})
    _, metrics = rows.of(Given(1, row(a=-1.0, b=-2.0), row(a=-3.0, b=-5.0)))
    assert metrics["meta/loss/a"] == -2.0
    assert metrics["meta/loss/b"] == -3.5
    assert metrics["meta/loss"] == pytest.approx((-2.0 - 3 * 3.5) / 4)


def test_what_is_counted_is_summed_over_a_dispatch_and_all_else_is_averaged() -> None:
    of_steps = [
        {"inner/resets": 2.0, "meta/gradient_norm": 1.0, "meta/gradient_clipped": 0.0},
        {"inner/resets": 5.0, "meta/gradient_norm": 4.0, "meta/gradient_clipped": 1.0},
    ]
    _, metrics = meta_rows.MetaRows({"a": 1.0}).of(Given(1, *[row(a=0.0) | s for s in of_steps]))
    assert (metrics["inner/steps"], metrics["inner/resets"]) == (120.0, 7.0)
    assert (metrics["meta/gradient_norm"], metrics["meta/gradient_clipped"]) == (2.5, 0.5)


def test_a_gradient_that_is_not_finite_is_not_averaged_away() -> None:
    norms = [{"meta/gradient_norm": norm} for norm in (1.0, inf)]
    _, metrics = meta_rows.MetaRows({"a": 1.0}).of(Given(1, *[row(a=0.0) | n for n in norms]))
    assert metrics["meta/gradient_norm"] == inf


def test_a_family_without_a_sound_problem_counts_as_it_was_last() -> None:
    rows = meta_rows.MetaRows({"a": 1.0, "b": 3.0})
    given = [row(a=-1.0, b=nan), row(a=nan, b=-2.0), row(a=-3.0, b=nan)]
    _, metrics = rows.of(Given(1, *given))
    of_steps = [-1.0, (-1.0 - 6.0) / 4, (-3.0 - 6.0) / 4]
    assert metrics["meta/loss"] == pytest.approx(sum(of_steps) / 3)
    assert (metrics["meta/loss/a"], metrics["meta/loss/b"]) == (-2.0, -2.0)


def test_without_a_sound_problem_of_any_family_there_is_no_loss() -> None:
    _, metrics = meta_rows.MetaRows({"a": 1.0}).of(Given(1, row(a=nan)))
    assert isnan(metrics["meta/loss"])


def test_the_imitation_loss_is_that_of_all_families_too() -> None:
    def with_imitation(family: str, loss: float) -> dict[str, float]:
        losses = {"imitation/loss": 99.0, f"imitation/loss/{family}": loss}
        return row(**{family: 0.0}) | losses

    rows = meta_rows.MetaRows({"a": 1.0, "b": 3.0})
    assert "imitation/loss" not in rows.of(Given(1, with_imitation("a", 0.4)))[1]
    _, second = rows.of(Given(2, with_imitation("b", 0.8)))
    assert second["imitation/loss"] == pytest.approx((0.4 + 2.4) / 4)
    assert second["imitation/loss/b"] == 0.8


def test_what_is_counted_by_family_is_a_metric_only_where_it_is_not_zero() -> None:
    counted = {"meta/nonfinite/a": 0.0, "inner/exploded/a": 2.0, "meta/nonfinite": 0.0}
    _, metrics = meta_rows.MetaRows({"a": 1.0}).of(Given(1, row(a=0.0) | counted))
    assert "meta/nonfinite/a" not in metrics
    assert metrics["inner/exploded/a"] == 2.0
    assert metrics["meta/nonfinite"] == 0.0


def test_the_speed_leaves_out_what_may_have_been_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 101.0, 101.5, 200.0, 200.5])
    # The module's own clock alone: other threads read the time too.
    monkeypatch.setattr(meta_rows, "time", SimpleNamespace(monotonic=lambda: next(now)))
    rows = meta_rows.MetaRows({"a": 1.0, "b": 1.0})
    rows.begin()
    given = [Given(1, row(a=0.0)), Given(2, row(b=0.0)), Given(3, row(a=0.0), row(a=0.0))]
    speeds = [rows.of(one)[1].get("inner/steps_per_second") for one in given]
    assert speeds == [None, None, 240.0]
    rows.begin()
    assert rows.of(Given(5, row(b=0.0)))[1]["inner/steps_per_second"] == 120.0


@pytest.mark.parametrize("kind", ESTIMATORS.values(), ids=ESTIMATORS)
def test_what_an_estimator_counts_is_summed_and_what_it_has_means_of_is_averaged(
    kind: type[MetaGradient],
) -> None:
    estimator, optimizer = kind.examples()[0], GlobalLearningRate(key=jax.random.key(0))
    spec = {"problem": "Quadratic", "dimensions": 2}
    (group,) = draw_ensemble([{"family": "bowls", "spec": spec}], seed=0).groups()

    def estimated(key):
        state = estimator.init(optimizer, group, key)
        return estimator.estimate(optimizer, group, state, jnp.array(0))

    estimate = jax.eval_shape(estimated, jax.random.key(0))
    assert not [name for name in estimate.metrics if name.startswith(meta_rows.AVERAGED)]
    assert all(name.startswith(meta_rows.MEANS) for name in estimate.means or {})
