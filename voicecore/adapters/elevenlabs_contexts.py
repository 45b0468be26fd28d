"""The contexts of one socket: which there are, and how many the server may still count. Pure."""

MAX_CONTEXTS = 5
"""A sixth closes the socket."""
_CLOSING_MS = 5000
"""How long a closed context counts if the server never calls it final."""


class Context:
    """``waiting``: no audio has come since its last text. ``closed_at_ms``: when it was closed,
    None while it is open."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.waiting = False
        self.heard = False
        self.closed_at_ms: int | None = None


class Contexts:
    """``prepared`` is the one opened ahead, for the next reply."""

    def __init__(self) -> None:
        self.prepared: Context | None = None
        self._known: dict[str, Context] = {}
        self._made = 0

    def new(self) -> Context:
        """Its id was never used before, on this socket or another."""
        self._made += 1
        context = Context(f"c{self._made}")
        self._known[context.id] = context
        return context

    def full(self, now_ms: int) -> bool:
        """Whether the server may object to another."""
        for context in tuple(self._known.values()):
            if context.closed_at_ms is not None and context.closed_at_ms < now_ms - _CLOSING_MS:
                del self._known[context.id]
        return len(self._known) >= MAX_CONTEXTS

    def find(self, context_id: str | None) -> Context | None:
        """A message that names no context is the only one's."""
        if context_id is None:
            return next(iter(self._known.values())) if len(self._known) == 1 else None
        return self._known.get(context_id)

    def remove(self, context: Context) -> None:
        """The server has called it final."""
        del self._known[context.id]
        if context is self.prepared:
            self.prepared = None

    def forget(self) -> None:
        """The socket is gone, and all its contexts with it."""
        self._known.clear()
        self.prepared = None
