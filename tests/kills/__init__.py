"""Runs that are killed, stopped, and left without disk space; what has to hold afterwards."""

import pytest

# What fails there is shown in full.
pytest.register_assert_rewrite("tests.kills.site")
