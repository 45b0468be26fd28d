"""Bytes, samples, milliseconds: carriers' wire formats, audio, playout, recording.

Knows nothing of turns, vendors or tenants, and imports nothing from the packages above it.
"""
