"""Vendors of speech and language: one vendor of one kind is one file.

To add one: its file, and its line in ``ADAPTERS`` (``voicecore/adapters/registry.py``).
"""
