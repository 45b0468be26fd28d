"""A recorded call held once more, on virtual time: with other settings, or with other vendors.

The caller's recorded channel goes through the real leg and session; each vendor is either what
the call recorded or the agent file's own. What differs is told turn by turn.
"""
