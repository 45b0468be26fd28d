"""What every test runs under."""

from hypothesis import HealthCheck, settings

# The machine may be slow or shared: how long an example takes says nothing.
settings.register_profile("voicecore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("voicecore")
