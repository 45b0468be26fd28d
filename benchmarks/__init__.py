"""Measurements of the media engine: how many calls a core carries, what a joining call does to
the others, what the engine adds to its vendors' delays, and what a frame costs.

``python -m benchmarks`` runs them; ``docs/benchmarks.md`` says what each figure means."""
