"""Wiring only: one flow a file, each an entry point of its own."""

from tasks.settings import set_environment

# Prefect reads its settings when it is imported, which every flow does next.
set_environment()
