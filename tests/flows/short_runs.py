"""What makes evaluations and meta-trainings of tests short."""

LENGTHS = ("evaluation.seeds=2", "network_steps=4", "held_out_steps=4", "record_every=2")
TRAINED_BRIEFLY = (
    "meta_steps=2",
    "segment_meta_steps=2",
    "warmup_meta_steps=1",
    "validation_meta_steps=1",
    "meta_steps_per_dispatch=1",
    "meta_training.problems=1",
    "unroll_steps=2",
    "shortest_unrolls=1",
    "longest_unrolls=2",
)
BOWLS = """
entries:
  - family: bowls
    category: convex
    count: 1
    weight: 1.0
    spec: {problem: Quadratic, dimensions: 3}
"""
