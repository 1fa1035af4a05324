"""Laws of the validation loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt import compiled_programs
from lopt.architectures import GlobalLearningRate
from lopt.compiled_programs import TooManyProgramsError
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import GrowingLengths, Imitation, TruncatedBackprop, Unrolling
from lopt.meta_gradients.lengths import LogUniformLengths
from lopt.meta_training import (
    MetaTraining,
    ahead,
    init_meta_state,
    meta_train,
    validation_losses,
)
from lopt.meta_training.validation import LEFT_OUT

ENTRIES = [{"family": "bowls", "spec": {"problem": "Quadratic", "dimensions": 2}}]
GROUPS = draw_ensemble(ENTRIES, seed=0).groups()
KEY = jax.random.key(1)


def losses(unrolling: Unrolling, optimizer, meta_step: int = 0) -> float:
    training = MetaTraining(TruncatedBackprop(unrolling), steps_per_dispatch=2)
    state = init_meta_state(training, optimizer, GROUPS, jax.random.key(0))
    state = dataclasses.replace(state, meta_step=jnp.array(meta_step, jnp.int32))
    return validation_losses(training, GROUPS, state, KEY, 3)["bowls"]


def rates(rate: float) -> GlobalLearningRate:
    (_, structure) = jax.tree.flatten(GlobalLearningRate(key=jax.random.key(0)))
    return jax.tree.unflatten(structure, [jnp.log(jnp.asarray(rate, jnp.float32))])


def test_who_breaks_a_problem_is_judged_by_it_and_not_by_the_others_alone(monkeypatch):
    from lopt.meta_training import validation

    unrolling = Unrolling(steps=2, problems=4)
    whole = losses(unrolling, rates(1e-2))
    take = validation.take_turn

    def one_is_left_out(*arguments):
        state, metrics = take(*arguments)
        (faults,) = metrics.faults
        bad = faults.bad.at[:, 0].set(True)
        return state, metrics._replace(faults=(faults._replace(bad=bad),))

    monkeypatch.setattr(validation, "take_turn", one_is_left_out)
    expected = 0.75 * whole + 0.25 * LEFT_OUT
    assert losses(unrolling, rates(1e-2)) == pytest.approx(expected, rel=1e-5)


def test_a_meta_step_in_which_all_break_counts_as_much_as_any_other(monkeypatch):
    from lopt.meta_training import validation

    take, seen = validation.take_turn, []

    def the_last_breaks_all(*arguments):
        state, metrics = take(*arguments)
        if not seen:
            seen.extend(row["meta/loss/bowls"] for row in metrics.rows())
            return state, metrics
        (faults,) = metrics.faults
        nothing = jnp.full_like(metrics.values["meta/loss/bowls"], jnp.nan)
        return state, metrics._replace(
            values={**metrics.values, "meta/loss/bowls": nothing},
            faults=(faults._replace(bad=jnp.ones_like(faults.bad)),),
        )

    monkeypatch.setattr(validation, "take_turn", the_last_breaks_all)
    found = losses(Unrolling(steps=2, problems=4), rates(1e-2))
    assert found == pytest.approx((sum(seen) + LEFT_OUT) / 3, rel=1e-5)


def test_who_breaks_every_problem_has_no_loss():
    assert np.isnan(losses(Unrolling(steps=2, problems=4), rates(1e30)))


def test_validation_is_the_same_wherever_a_curriculum_has_come():
    growing = GrowingLengths(LogUniformLengths(1, 20), 1, 20, 1000)
    unrolling = Unrolling(steps=2, problems=4, lengths=growing)
    assert losses(unrolling, rates(1e-2)) == losses(unrolling, rates(1e-2), meta_step=1000)


def test_a_teacher_that_goes_astray_changes_no_validation_loss():
    unrolling = Unrolling(steps=2, problems=4)
    found = []
    for teachers_rate in (1e-2, 1e30):
        estimator = Imitation(unrolling, teacher="sgd", learning_rate=teachers_rate)
        training = MetaTraining(estimator, steps_per_dispatch=2)
        state = init_meta_state(training, rates(1e-2), GROUPS, jax.random.key(0))
        found.append(validation_losses(training, GROUPS, state, KEY, 3)["bowls"])
    assert found[0] == found[1]
    assert np.isfinite(found[0])


def test_an_accelerator_validates_by_whole_dispatches_and_sees_the_same(monkeypatch):
    """So that it compiles no other programs than those of meta-training."""
    from lopt.meta_training import validation

    expected = losses(Unrolling(steps=2, problems=4), rates(1e-2))
    take, taken = validation.take_turn, []

    def noted(training, groups, state, turn, mesh):
        taken.append(turn.steps)
        return take(training, groups, state, turn, mesh)

    monkeypatch.setattr(validation, "take_turn", noted)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = losses(Unrolling(steps=2, problems=4), rates(1e-2))
    assert taken == [2, 2], "three unrolls are to be seen"
    assert found == pytest.approx(expected, rel=1e-5)


def two_bundles(clip_norm: float = 1.0) -> MetaTraining:
    estimator = TruncatedBackprop(Unrolling(steps=1, problems=2))
    return MetaTraining(estimator, clip_norm=clip_norm, groups_per_step=1, steps_per_dispatch=1)


def drawn(seed: int):
    names = ("bowls", "more_bowls")
    entries = [{**ENTRIES[0], "family": name} for name in names]
    return draw_ensemble(entries, seed=seed).groups()


def trained(training: MetaTraining, groups):
    """Return the state after a turn of each bundle."""
    state = init_meta_state(training, rates(1e-2), groups, jax.random.key(0))
    for after, _ in meta_train(training, groups, state, last_meta_step=2):
        state = after
    return state


def test_held_out_groups_of_the_same_form_compile_nothing():
    # With a norm of its own: programs that other tests have compiled are not compiled again.
    training, compiled = two_bundles(clip_norm=3.0), []

    def listen(event, seconds, **about):
        if "backend_compile" in event and "meta_steps" in about["fun_name"]:
            compiled.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        state = trained(training, drawn(0))
        assert len(compiled) == 2
        validation_losses(training, drawn(1), state, KEY, 3)
        assert len(compiled) == 2
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.skipif(not compiled_programs.MAPPINGS.exists(), reason="Linux alone counts mappings")
def test_held_out_groups_are_refused_where_their_programs_would_be_new_and_have_no_room(
    monkeypatch, tmp_path
):
    """Their own draws are of the form of meta-training's, whose programs are there."""
    training = two_bundles()

    def validate(groups):
        state = init_meta_state(training, rates(1e-2), groups, jax.random.key(0))
        return validation_losses(training, groups, state, KEY, 1)

    limit = tmp_path / "limit"
    monkeypatch.setattr(compiled_programs, "LIMIT", limit)
    ahead._refuse_once.cache_clear()
    limit.write_text("10")
    with pytest.raises(TooManyProgramsError):
        validate(drawn(0))
    limit.write_text(str(10**9))
    trained(training, drawn(0))
    limit.write_text("10")
    assert set(validate(drawn(1))) == {"bowls", "more_bowls"}
    ahead._refuse_once.cache_clear()
