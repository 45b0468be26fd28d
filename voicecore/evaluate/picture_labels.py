"""Where the labels of a picture go, so that none lies over another. Pure."""

import textwrap


class Shelf:
    """Labels on a few levels, from left to right: each goes on the first level that is free
    where it begins, else on the one that will be free soonest."""

    def __init__(self, *, levels: int, gap: float) -> None:
        self._free_from = [float("-inf")] * levels
        self._gap = gap

    def put(self, begin: float, end: float) -> int:
        """The level of a label from ``begin`` to ``end``."""
        free = (level for level, place in enumerate(self._free_from) if place <= begin)
        level = next(free, None)
        if level is None:
            level = self._free_from.index(min(self._free_from))
        self._free_from[level] = end + self._gap
        return level


def wrapped(text: str, width: int, *, most: int) -> list[str]:
    """The text in lines of at most ``width`` characters, ``most`` of them; what does not fit is
    an ellipsis."""
    if not text:
        return []
    return textwrap.wrap(
        text, max(width, 2), max_lines=most, placeholder="…", break_long_words=True
    )


def cut_to(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
