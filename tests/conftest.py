"""What every test runs under."""

import os

from hypothesis import HealthCheck, settings

# The machine may be slow or shared: how long an example takes says nothing.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", QUIET)
settings.register_profile("quick", QUIET, max_examples=20)
settings.load_profile(os.environ.get("VOICECORE_TEST_PROFILE", "full"))
