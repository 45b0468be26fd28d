"""What every test runs under."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# The machine may be slow or shared: how long an example takes says nothing.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", QUIET)
settings.register_profile("quick", QUIET, max_examples=20)
settings.load_profile(os.environ.get("VOICECORE_TEST_PROFILE", "full"))


@pytest.fixture(autouse=True)
def _logs_are_not_set_up_for_the_next_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs within a test sets the process's logs up; loggers must not keep that."""
    configure = structlog.configure

    def uncached(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    structlog.reset_defaults()
