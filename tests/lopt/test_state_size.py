"""How much an optimizer keeps for every scalar of the params, and that its card says so."""

import pytest

from lopt.architectures import (
    AdafactorMLP,
    CoordinatewiseRNN,
    GlobalLearningRate,
    HierarchicalRNN,
    LearnedAdam,
    LearningRateSchedule,
)
from lopt.model_card import model_card
from lopt.state_size import state_bytes_per_param

FLOATS_PER_SCALAR = {
    HierarchicalRNN.release: 19,
    HierarchicalRNN.paper: 20,
    LearnedAdam.release: 2,
    GlobalLearningRate.release: 0,
    # A step count.
    LearningRateSchedule.release: 1 / 2**20,
    # Three momenta and a mean square; three averages for every row and column of 1024 scalars.
    AdafactorMLP.release: 4 + 3 * 2 / 1024,
    # Two cells of 20 units with memory and hidden state, a mean square and a learning rate.
    CoordinatewiseRNN.release: 82,
    CoordinatewiseRNN.andrychowicz: 80,
}


@pytest.mark.parametrize(("preset", "floats"), FLOATS_PER_SCALAR.items())
def test_so_many_floats_are_kept_for_every_scalar(preset, floats, getkey) -> None:
    found = state_bytes_per_param(preset(key=getkey()))
    assert found == pytest.approx(4 * floats, rel=1e-5, abs=1e-5)


def test_what_is_kept_once_is_shared_out_among_the_scalars(getkey) -> None:
    """Two cells of 20 units for the levels above, and a step count."""
    optimizer = HierarchicalRNN.release(key=getkey())
    assert state_bytes_per_param(optimizer, (2,)) == 76 + (20 + 20 + 1) * 4 / 2
    assert state_bytes_per_param(optimizer, ()) == 76 + (20 + 20 + 1) * 4


def test_a_vector_has_three_averages_more_for_every_scalar_of_the_small_mlp(getkey) -> None:
    """Four floats and three, where a matrix has those three for a row and a column."""
    optimizer = AdafactorMLP.release(key=getkey())
    assert state_bytes_per_param(optimizer, (2**20,)) == pytest.approx(28, rel=1e-5)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_a_shape_without_scalars_is_refused(shape, getkey) -> None:
    with pytest.raises(ValueError, match="scalars"):
        state_bytes_per_param(LearnedAdam.release(key=getkey()), shape)


@pytest.mark.parametrize("cls", [HierarchicalRNN, AdafactorMLP])
def test_the_card_says_whether_params_are_needed(cls, getkey) -> None:
    card = model_card(cls.release(key=getkey()))
    assert "transformation.update(gradient, opt_state, params)\n" in card
    assert ("reads the params" in card) == cls.needs_params


def test_the_card_says_how_much_is_kept(getkey) -> None:
    card = model_card(HierarchicalRNN.release(key=getkey()))
    assert "| Optimizer state | 76.0 bytes per param (Adam's: 8) |" in card
