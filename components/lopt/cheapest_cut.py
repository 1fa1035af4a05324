"""What to keep so that everything wanted can be made of it: a minimum cut.

The same idea as that of PyTorch's compiler for what a backward pass reads:
https://dev-discuss.pytorch.org/t/min-cut-optimal-recomputation-i-e-activation-checkpointing-with-aotautograd/467
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

_UNLIMITED = 2**30
# What all sizes together are scaled down to, so that sums of them stay 32-bit integers.
_MOST = 2**28
_SOURCE, _SINK = 0, 1


def cheapest_cut(
    wanted: AbstractSet[int],
    made_of: Mapping[int, AbstractSet[int]],
    sizes: Mapping[int, int],
) -> set[int]:
    """Return the values of the smallest total size that all wanted ones can be made of.

    `made_of` has a value if it is made of others at no cost, and says of which: of none, if it
    can be had from nothing. One that it has not can only be kept. What is wanted itself is
    taken rather than another of its size. Values have a size of at least 1.

    **Example**

    ```python
    # Two sums of the same two numbers: 3 = 1 + 2, 4 = 1 - 2, 5 = 3 * 4.
    cheapest_cut({3, 4, 5}, {3: {1, 2}, 4: {1, 2}, 5: {3, 4}}, dict.fromkeys(range(6), 7))  # {3, 4}
    ```
    """
    reached = _reached(wanted, made_of)
    if not reached:
        return set()
    # Each value is two nodes, and an edge between them that costs its size.
    nodes = {value: 2 * place + 2 for place, value in enumerate(sorted(reached))}
    scale = max(1, -(-2 * sum(sizes[value] for value in reached) // _MOST))
    edges: dict[tuple[int, int], int] = {}
    for value, node in nodes.items():
        edges[node, node + 1] = -(-2 * sizes[value] // scale) + (value not in wanted)
        if value in wanted:
            edges[node + 1, _SINK] = _UNLIMITED
        if value not in made_of:
            edges[_SOURCE, node] = _UNLIMITED
        for part in made_of.get(value, ()):
            edges[nodes[part] + 1, node] = _UNLIMITED
    left = _after_flow(edges, 2 * len(nodes) + 2)
    return {value for value, node in nodes.items() if node in left and node + 1 not in left}


def _reached(wanted: AbstractSet[int], made_of: Mapping[int, AbstractSet[int]]) -> set[int]:
    """Return what is wanted and all that it is made of, directly or not."""
    reached: set[int] = set()
    waiting = list(wanted)
    while waiting:
        value = waiting.pop()
        if value not in reached:
            reached.add(value)
            waiting += made_of.get(value, ())
    return reached


def _after_flow(edges: Mapping[tuple[int, int], int], count: int) -> set[int]:
    """Return the nodes that the source reaches by edges that a greatest flow does not fill."""
    rows, columns = np.array(list(edges)).T
    capacities = np.array(list(edges.values()), np.int32)
    graph = csr_array((capacities, (rows, columns)), shape=(count, count))
    left = graph - maximum_flow(graph, _SOURCE, _SINK).flow
    left.eliminate_zeros()
    found = breadth_first_order(left, _SOURCE, return_predecessors=False)
    return set(found.tolist())
