"""The product's event loop on virtual time, as tests use it."""

from voicecore.replay.virtual_time import VirtualClock, VirtualLoop, run_virtual

__all__ = ["VirtualClock", "VirtualLoop", "run_virtual"]
