"""Subcommands of the ``voicecore`` command, one file each."""
