"""Tests of what is done on processors alone, and left out where the tests run on a GPU."""

import jax
import pytest

on_processors = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="says what is done on processors alone"
)
