"""How the programs of tests are compiled, by options that XLA has."""

from lopt.compiled_programs import HAS_OLDER_LOOPS, LOOP_EMITTERS

QUICK_TO_COMPILE = f"--{LOOP_EMITTERS}=false" if HAS_OLDER_LOOPS else ""
"""Flags with which nearly all of them are: most of a test's time is compiling, and the older of
XLA's two ways to write loops takes two thirds of it (LOG.md, 2026-11-26)."""

OF_ONE_KIND = {LOOP_EMITTERS: True} if HAS_OLDER_LOOPS else {}
"""Options for two programs whose numbers are compared to the last bit.

XLA rounds alike what they share only in loops that it fuses itself.
"""
