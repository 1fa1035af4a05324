"""lopt: learned optimizers as optax transformations.

Pull one from the registry, or take it from a folder, and put it where Adam stood:

```python
optimizer = lopt.load("models:/learned-optimizer@champion")
transformation = optimizer.transformation()
```

What makes and measures them lies in `lopt.problems`, `lopt.ensembles`, `lopt.meta_training` and
`lopt.evaluation`, which are imported only by whoever asks for them.
"""

from lopt.architectures import DEFAULT_LEARNING_RATE as DEFAULT_LEARNING_RATE
from lopt.architectures import HierarchicalRNN as HierarchicalRNN
from lopt.architectures import LearnedOptimizer as LearnedOptimizer
from lopt.architectures import RandomLearningRate as RandomLearningRate
from lopt.architectures import eval_params as eval_params
from lopt.loading import load as load
from lopt.provenance import Provenance as Provenance
from lopt.version import lopt_version

__version__ = lopt_version()
