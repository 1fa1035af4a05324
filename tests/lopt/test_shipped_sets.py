"""The numbers in conf/ensembles/sets against PAPER.md section 5.4, which is written out here."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

SETS = Path("conf/ensembles/sets")
SHARING = {"padded_to", "samples_room", "batch_room"}
"""Arguments that say with what a problem shares its program, and no number of the paper's."""


def quadratics(*sizes: int, **around: float) -> list[dict[str, Any]]:
    return [{"problem": "Quadratic", "dimensions": n, **around} for n in sizes]


def bowls(*condition_numbers: float, **around: float) -> list[dict[str, Any]]:
    return [{"problem": "Bowl", "condition_number": c, **around} for c in condition_numbers]


def turned_bowl(**around: float) -> list[dict[str, Any]]:
    return bowls(5.0, angle=math.pi / 4, **around)


def norms(*sizes_and_orders: tuple[int, float], **around: float) -> list[dict[str, Any]]:
    return [{"problem": "Norm", "dimensions": n, "order": q, **around} for n, q in sizes_and_orders]


def functions(*names: str, **around: float) -> list[dict[str, Any]]:
    return [{"problem": "TwoDimensional", "function": name, **around} for name in names]


def scaled(specs: list[dict[str, Any]], *scales: float) -> list[dict[str, Any]]:
    return [{**spec, "scale": scale} for spec, scale in zip(specs, scales, strict=True)]


def sums(*parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"problem": "Sum", "of": some} for some in parts]


def softmax(noises: tuple[float, ...] = ()) -> list[dict[str, Any]]:
    """Features, separation and batch size; 1000 samples."""
    rows = (10, 2.0, 100), (100, 1.0, 50), (200, 1.5, 20), (256, 1.5, 100)
    names = "features", "separation", "batch_size"
    plain = [
        {"problem": "SoftmaxRegression", "samples": 1000, **dict(zip(names, row, strict=True))}
        for row in rows
    ]
    if not noises:
        return plain
    return [{**spec, "noise": noise} for spec, noise in zip(plain, noises, strict=True)]


def networks(*rows: tuple[int, list[int], int], **around: float) -> list[dict[str, Any]]:
    """Features, widths of the hidden layers and batch size; 1000 samples and sigmoids."""
    fixed = {"problem": "FullyConnected", "activation": "sigmoid", "samples": 1000, **around}
    return [
        {**fixed, "features": features, "hidden": hidden, "batch_size": batch}
        for features, hidden, batch in rows
    ]


def products(size: int, ranks: range) -> list[dict[str, Any]]:
    return [{"problem": "MatMulAlgorithm", "size": size, "rank": rank} for rank in ranks]


def parity(problem: str) -> list[dict[str, Any]]:
    of_data = {"samples": 5, "classes": 2, "ids": 5, "noise": 0.25}
    return [{"problem": problem, "features": 5, "batch_size": 23, **of_data}]


def minibatches(problem: str, samples: tuple[int, ...]) -> list[dict[str, Any]]:
    batch_sizes = 100, 10, 100, 50, 50, 128, 16, 128, 64, 32
    return [
        {"problem": problem, "dimensions": n, "samples": count, "batch_size": batch}
        for n, count, batch in zip(2 * SLOW_SIZES, samples, batch_sizes, strict=True)
    ]


def chains(*links: int) -> list[dict[str, Any]]:
    return [{"problem": "DependencyChain", "links": n} for n in links]


def wells(*sizes: int) -> list[dict[str, Any]]:
    return [{"problem": "MinMaxWell", "dimensions": n} for n in sizes]


NINE = ("Ackley", "Beale", "Booth", "Branin", "LogSumExp", "Matyas", "Michalewicz", "Rosenbrock",
        "StyblinskiTang")  # fmt: skip
NETWORKS = [
    (8, [8, 5], 10),
    (12, [8, 5, 3], 200),
    (5, [4, 4, 4, 4], 100),
    (11, [4, 5, 6], 64),
    (9, [8], 128),
    (7, [8, 5], 16),
    (8, [32, 64], 10),
    (12, [16, 8, 3], 200),
    (5, [8, 8, 8, 8], 100),
    (11, [10, 12, 12], 64),
    (9, [32], 128),
    (7, [32, 64], 16),
]
SLOW_SIZES = (20, 12, 56, 64, 13)
SYMMETRIC_SAMPLES = (1000, 100, 5000, 1000, 10000, 1000, 100, 5000, 1000, 10000)
SNAKE_SAMPLES = (1000, 200, 5000, 1000, 10000, 1000, 300, 5000, 1000, 10000)
OF_A_SUM = (11, 3, 9, 7, 5, 13, 12)

LISTED = {
    "quadratic": quadratics(20, 25, 50, 100),
    "noisy_quadratic": [
        *quadratics(20, noise=0.5),
        *quadratics(25),
        *quadratics(50, noise=1.0),
        *quadratics(100, noise=2.0),
    ],
    "large_quadratic": quadratics(784, 1024, 2048),
    "bowl": [*bowls(0.1, 1.0, 5.0), *turned_bowl()],
    "noisy_bowl": [*bowls(0.1, 1.0, 5.0, noise=0.1), *turned_bowl(noise=0.1)],
    "softmax_2_class": softmax(),
    "noisy_softmax_2_class": softmax((0.5, 0.1, 0.1, 0.5)),
    "optimization_test": functions(*NINE),
    "noisy_optimization_test": functions(*NINE, noise=1.0),
    "fully_connected_random_2_class": networks(*NETWORKS),
    "matmul": [*products(2, range(5, 9)), *products(3, range(19, 25))],
    "log_objective": [
        *quadratics(20, 50, 100, logarithm=True),
        *bowls(0.1, 1.0, 5.0, logarithm=True),
    ],
    "rescale": [
        *scaled(
            norms((18, 2.5), (18, 1.5), (18, 2.0), (18, 3.0), (18, 1.0)),
            *(0.123, 8.0, 50.0, 200.0, 1000.0),
        ),
        *scaled(quadratics(20, 25, 50, 100), 0.1, 10.0, 350.0, 132.0),
    ],
    "norm": norms((27, 1.0), (25, 2.0), (22, 3.0)),
    "noisy_norm": norms((19, 1.0), (26, 2.0), (23, 3.0), noise=0.1),
    "sum": sums(
        quadratics(*OF_A_SUM),
        [*norms((18, 3.0)), *quadratics(25), *functions("Rosenbrock")],
        functions(*NINE),
        [*functions(*NINE), *quadratics(5, 13)],
        quadratics(11, 3),
        functions("Rosenbrock", "LogSumExp", "Ackley"),
    ),
    "noisy_sum": sums(
        quadratics(*OF_A_SUM, noise=0.1),
        [*functions(*NINE), *quadratics(5), *quadratics(13, noise=0.5)],
    ),
    "sparse_gradient": [*quadratics(20, 50, 100, zeroed=0.99), *bowls(0.1, 1.0, 5.0, zeroed=0.99)],
    "sparse_gradient_mlp": networks(*NETWORKS[:3], zeroed=0.99),
    "sparse_softmax": parity("SparseSoftmaxRegression"),
    "one_hot_sparse_softmax": parity("OneHotSparseSoftmaxRegression"),
    "sum_of_quadratics": minibatches("SumOfQuadratics", SYMMETRIC_SAMPLES),
    "projection_quadratic": minibatches("ProjectionQuadratic", SYMMETRIC_SAMPLES),
    "outward_snake": minibatches("OutwardSnake", SNAKE_SAMPLES),
    # Twice the same sizes: data are passed to the paper's chains, which do not look at them.
    "dependency_chain": chains(*2 * SLOW_SIZES),
    "min_max_well": wells(*SLOW_SIZES),
}


def plain(spec: dict[str, Any]) -> dict[str, Any]:
    """Put what is around a problem beside its own numbers, without what changes nothing."""
    kept = {key: value for key, value in spec.items() if key not in SHARING}
    name, inner = kept["problem"], kept.pop("of", None)
    if isinstance(inner, list):
        return {**kept, "of": [plain(part) for part in inner]}
    if inner is None:
        return {key: round(v, 6) if isinstance(v, float) else v for key, v in kept.items()}
    assert name in ("Conditions", "GradientNoise")
    around = {"noise" if key == "std" else key: v for key, v in kept.items() if key != "problem"}
    said = {key: value for key, value in around.items() if value != 0}
    inside = plain(inner)
    assert not set(said) & set(inside)
    return {**inside, **said}


def shipped(name: str) -> list[dict[str, Any]]:
    content = yaml.safe_load((SETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return [entry["spec"] for entry in content["entries"]]


def test_there_is_a_file_for_every_set_of_the_paper_s_code_and_no_other():
    assert {path.stem for path in SETS.glob("*.yaml")} == set(LISTED)


@pytest.mark.parametrize("name", list(LISTED))
def test_a_set_has_the_numbers_that_are_listed(name):
    assert list(map(plain, shipped(name))) == list(map(plain, LISTED[name]))
