"""How two programs are compiled whose numbers are compared to the last bit."""

OF_ONE_KIND = {"xla_cpu_use_fusion_emitters": True}
"""Options of XLA, which rounds alike what two programs share only in loops that it fuses itself.

All else in the tests is compiled quickly (`tests/conftest.py`), as users' programs are where they
ask for it.
"""
