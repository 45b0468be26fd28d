"""The two listeners that media streams come in by."""

import importlib.util

import pytest

CAN_PICOWS = importlib.util.find_spec("picows") is not None
_NEEDS_PICOWS = pytest.mark.skipif(not CAN_PICOWS, reason="needs picows")

listeners = pytest.mark.parametrize(
    "listener", ["http", pytest.param("media", marks=_NEEDS_PICOWS)]
)
"""Runs a test with ``listener`` as ``http`` and as ``media``."""
