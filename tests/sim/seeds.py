"""Every seed that ever failed."""

from pathlib import Path

SEEDS = Path(__file__).with_name("seeds.txt")


def known_seeds() -> list[int]:
    """In the order of the file, each once."""
    lines = SEEDS.read_text().splitlines()
    return list(dict.fromkeys(int(line.split()[0]) for line in lines if line[:1].isdigit()))
