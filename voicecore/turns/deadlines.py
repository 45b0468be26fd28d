"""Named deadlines of one machine, as values."""


class Deadlines:
    """Each name has at most one time; setting it again moves it."""

    def __init__(self) -> None:
        self._at_ms: dict[str, int] = {}

    def set(self, name: str, at_ms: int) -> None:
        self._at_ms[name] = at_ms

    def bring_forward(self, name: str, at_ms: int) -> None:
        """Make a deadline that is set come sooner; never later."""
        if name in self._at_ms:
            self._at_ms[name] = min(self._at_ms[name], at_ms)

    def clear(self, *names: str) -> None:
        for name in names:
            self._at_ms.pop(name, None)

    def clear_all(self) -> None:
        self._at_ms.clear()

    def __contains__(self, name: str) -> bool:
        return name in self._at_ms

    def next(self) -> int | None:
        return min(self._at_ms.values()) if self._at_ms else None

    def take_due(self, now_ms: int) -> str | None:
        """The earliest name that is due, which is then forgotten; None when none is."""
        name = min(self._at_ms, key=self._at_ms.__getitem__, default=None)
        if name is None or self._at_ms[name] > now_ms:
            return None
        del self._at_ms[name]
        return name
