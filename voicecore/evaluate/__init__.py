"""A conversation suite: scenes are played to an agent over the wire, and judged by what the
caller heard. ``docs/evaluate.md`` has the definitions."""
