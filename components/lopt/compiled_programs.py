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
ONE_AFTER_THE_OTHER = {"xla_cpu_enable_concurrency_optimized_scheduler": False}
"""For programs of many small operations. Handing these out to threads takes longer than they do,
and the problems are divided among devices already (LOG.md, 2026-11-26)."""
WIDE_VECTORS = {"xla_cpu_prefer_vector_width": 512}
"""For x86 processors that have such vectors; to others it says nothing.

XLA asks for 256 bits, with which the hierarchical RNN takes a tenth longer by backpropagation on
small problems and by persistent evolution strategies on all (LOG.md, 2026-11-28)."""
SHORT_LOOPS = {"xla_backend_optimization_level": 2}
"""For small problems side by side, whose innermost loops are as long as there are problems.

At its highest level LLVM writes loops of up to some thirty rounds out, number by number, before it
would make vectors of them: backpropagation then takes a fifth to four fifths longer, and half as
long again to compile. Loops over the params of larger problems gain a tenth by that level (LOG.md,
2026-11-27)."""
LOOP_EMITTERS = "xla_cpu_use_fusion_emitters"
HAS_OLDER_LOOPS = jax.__version_info__ < (0, 11)
"""Whether XLA can still write loops in its older way; JAX 0.11's has no such option, and refuses
it."""
QUICK_TO_COMPILE = ({LOOP_EMITTERS: False} if HAS_OLDER_LOOPS else {}) | SHORT_LOOPS
"""For large programs that do not run for long: compiled in two thirds of the time by JAX 0.10.

Backpropagation then takes a tenth longer (an MLP of 197 params; LOG.md, 2026-11-28). Small
problems take two thirds longer so, and `SHORT_LOOPS` alone save as much of their compiling."""


class TooManyProgramsError(RuntimeError):
    """More compiled programs than a process can hold; says what to do."""


def processor_options(quickly: bool, small: bool) -> dict[str, bool | int]:
    """Return the options with which XLA compiles meta-steps: none but for a processor.

    `quickly` is for runs of minutes, `small` for nothing but small problems.

    **Example**

    ```python
    jax.jit(meta_steps, compiler_options=processor_options(quickly=False, small=True))
    ```
    """
    if jax.default_backend() != "cpu":
        return {}
    extra = SHORT_LOOPS if small else QUICK_TO_COMPILE if quickly else {}
    return ONE_AFTER_THE_OTHER | WIDE_VECTORS | extra


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
    if not _is_over(part):
        return False
    jax.clear_caches()
    gc.collect()
    return True


def refuse_if_many(part: float = 0.7) -> None:
    """Raise `TooManyProgramsError` where programs take more than this part of what Linux allows.

    For those that are needed again and again, so that forgetting them would help nobody. Three
    of the largest bundles of the released ensemble have room in what is left.

    **Example**

    ```python
    for program in programs:
        refuse_if_many()
        program.lower(*arguments).compile()
    ```
    """
    if _is_over(part):
        raise TooManyProgramsError(
            f"This process has {count_mappings():,} mappings of memory, most of them for compiled "
            f"programs, and Linux allows it {int(LIMIT.read_text()):,}: with some more programs "
            "the compiler would end it by a segmentation fault. Allow more (as root: sysctl -w "
            "vm.max_map_count=262144), or take an ensemble of fewer programs."
        )


def _is_over(part: float) -> bool:
    return MAPPINGS.exists() and LIMIT.exists() and count_mappings() > part * int(LIMIT.read_text())


def count_mappings() -> int:
    """Return how many mappings of memory this process has, on Linux.

    **Example**

    ```python
    count_mappings()  # some thousand
    ```
    """
    return MAPPINGS.read_bytes().count(b"\n")
