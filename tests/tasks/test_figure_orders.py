"""Which optimizers a figure compares, at which rates."""

from pathlib import Path

from tasks.conf_files import read_conf
from tasks.confs import Conf
from tasks.evaluation_targets import TargetReference
from tasks.figure_orders import facts_of, figure_data_sets, figure_orders
from tasks.references import DataSetReference, ReleaseReference

SECTIONS = ("figure", "ensemble", "meta_training", "evaluation")
DIGITS = DataSetReference(name="digits", version="1", digest="d" * 64, directory="x", counts={})
TARGETS = [
    TargetReference(name=name, steps=10, record_every=5, data_set=DIGITS)
    for name in ("digits/mlp", "digits/convnet")
]


def conf_of(figure: str) -> Conf:
    return read_conf(Path("conf/figures") / f"{figure}.yaml", [], SECTIONS)


def release_of(letter: str) -> ReleaseReference:
    return ReleaseReference(directory=letter, digest=letter * 64)


def test_cells_are_of_the_release_the_variants_and_the_baselines_at_their_rates() -> None:
    conf = conf_of("2")
    trained = {"coordinatewise RNN": release_of("b")}
    orders = figure_orders(conf.figure, conf.evaluation, TARGETS, release_of("a"), trained)
    assert [order.name for order in orders] == [
        f"{name} on {target.name}"
        for target in TARGETS
        for name in ("learned", "coordinatewise RNN", "Adam", "RMSProp")
    ]
    rates = {order.candidate.name: order.candidate.learning_rates for order in orders}
    assert (rates["Adam"], rates["RMSProp"]) == ((2e-3,), (1e-2,))
    facts = facts_of(conf.figure, orders)
    assert (facts["learned/release"], facts["coordinatewise RNN/release"]) == ("a" * 64, "b" * 64)
    assert facts["digits"] == DIGITS.digest


def test_without_a_rate_of_its_own_a_baseline_has_the_evaluation_s() -> None:
    conf = conf_of("4")
    orders = figure_orders(conf.figure, conf.evaluation, TARGETS, release_of("a"), {})
    ours, *others = (order.candidate.learning_rates for order in orders[:4])
    assert len(ours) == 1
    assert set(others) == {conf.evaluation.learning_rates}


def test_seconds_are_compared_where_the_conf_says_so() -> None:
    conf = conf_of("4")
    for compare in (False, True):
        evaluation = conf.evaluation.model_copy(update={"compare_seconds": compare})
        orders = figure_orders(conf.figure, evaluation, TARGETS, release_of("a"), {})
        assert {order.timed_at_one_rate for order in orders} == {compare}


def test_in_figure_5_all_begin_at_the_same_rates() -> None:
    conf = conf_of("5")
    orders = figure_orders(conf.figure, conf.evaluation, TARGETS, release_of("a"), {})
    assert {order.candidate.learning_rates for order in orders} == {conf.figure.initial_rates}


def test_data_sets_are_those_of_the_targets_and_those_that_variants_learn_from() -> None:
    conf = conf_of("2")
    on_mnist = conf.evaluation.model_copy(update={"targets": ("mnist/mlp",)})
    assert figure_data_sets(conf.figure, conf.ensemble, on_mnist) == ("mnist", "digits")
    three = conf_of("3")
    assert figure_data_sets(three.figure, conf.ensemble, three.evaluation) == ()


def test_a_learned_optimizer_begins_at_each_of_its_rates(trained: ReleaseReference) -> None:
    from tasks.cell_orders import candidate_of

    conf = conf_of("5")
    orders = figure_orders(conf.figure, conf.evaluation, TARGETS, trained, {})
    candidate = candidate_of(orders[0].candidate)
    assert (candidate.name, candidate.learning_rates) == ("learned", conf.figure.initial_rates)
