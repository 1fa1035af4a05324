"""Wiring only: one flow a file, each an entry point of its own."""

import faulthandler
import sys

from tasks.settings import set_environment

# Prefect reads its settings when it is imported, which every flow does next.
set_environment()
# What dies in a library's code says where, instead of nothing.
if not faulthandler.is_enabled():
    faulthandler.enable(sys.__stderr__)
