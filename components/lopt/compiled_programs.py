"""What a process keeps of the programs that it has compiled, before that becomes too much.

Each takes mappings of memory. Linux gives a process 65,530 of them by default, and XLA dies of a
segmentation fault where there are no more: once after 137 cells of an evaluation (LOG.md).
https://docs.kernel.org/admin-guide/sysctl/vm.html#max-map-count
"""

import gc
from pathlib import Path

import jax

MAPPINGS = Path("/proc/self/maps")
LIMIT = Path("/proc/sys/vm/max_map_count")
QUICK_TO_COMPILE = {"xla_cpu_use_fusion_emitters": False}
"""Options with which XLA compiles large programs for a CPU in two thirds of the time.

To run they then take from as long to a fifth longer for backpropagation, by the architecture, and
up to two fifths longer for evolution strategies (LOG.md, 2026-11-26). Other devices ignore it.
"""


def forget_if_many(part: float = 0.3) -> bool:
    """Forget all compiled programs if they take more than this part of what Linux allows.

    Whoever runs one meanwhile keeps it; the others are compiled again when they are called,
    or read from JAX's cache on disk. Returns whether they were forgotten; where there is no
    such limit, they are not.

    **Example**

    ```python
    for candidate in candidates:
        evaluate_one(target, candidate, 8, key)
        forget_if_many()
    ```
    """
    if not (MAPPINGS.exists() and LIMIT.exists()):
        return False
    if count_mappings() <= part * int(LIMIT.read_text()):
        return False
    jax.clear_caches()
    gc.collect()
    return True


def count_mappings() -> int:
    """Return how many mappings of memory this process has, on Linux.

    **Example**

    ```python
    count_mappings()  # some thousand
    ```
    """
    return MAPPINGS.read_bytes().count(b"\n")
