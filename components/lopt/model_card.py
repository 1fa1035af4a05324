"""A page about a learned optimizer, for people who find it in a registry."""

import dataclasses

import equinox as eqx
import jax

from lopt.architectures.base import LearnedOptimizer
from lopt.state_size import state_bytes_per_param

THIS_FOLDER = "the/folder/of/this/file"


def model_card(optimizer: LearnedOptimizer, uri: str = THIS_FOLDER) -> str:
    """Return a Markdown text: what it is, how it is loaded from `uri`, where it came from.

    Without `uri` it is the README of the folder that the optimizer is in.

    **Example**

    ```python
    Path("README.md").write_text(model_card(optimizer))
    ```
    """
    architecture = type(optimizer)
    meta_params = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(optimizer, eqx.is_array)))
    facts = {
        "Architecture": f"{architecture.__name__}, version {architecture.version}",
        "Meta-params": f"{meta_params:,}",
        "Optimizer state": f"{state_bytes_per_param(optimizer):.1f} bytes per param (Adam's: 8)",
        **{f"`{name}`": repr(v) for name, v in optimizer.hyper_parameters().items()},
    }
    needs = ("", "\nIts rule reads the params: `update` has to be given them.\n")
    return f"""# A learned optimizer

An optax gradient transformation whose rule was itself trained (meta-trained) by lopt.

```python
import lopt

optimizer = lopt.load("{uri}")
transformation = optimizer.transformation()  # where optax.adam(1e-3) stood
opt_state = transformation.init(params)
updates, opt_state = transformation.update(gradient, opt_state, params)
```
{needs[architecture.needs_params]}
{_table(facts)}
## Where it came from

{_table(_provenance(optimizer)) if optimizer.provenance else "Not recorded."}
"""


def _provenance(optimizer: LearnedOptimizer) -> dict[str, str]:
    known = dataclasses.asdict(optimizer.provenance) if optimizer.provenance else {}
    return {f"`{name}`": f"`{value}`" for name, value in known.items() if value not in (None, ())}


def _table(facts: dict[str, str]) -> str:
    rows = [f"| {name} | {value.replace('|', '&#124;')} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"
