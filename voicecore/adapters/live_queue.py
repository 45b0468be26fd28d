"""What waits to be sent over a live socket, bounded. Pure."""

from collections import deque


class SendQueue:
    """Messages in order. Of droppable ones (audio) the oldest go when there are more than
    ``max_audio_bytes``; the others are never dropped, but ``overfull`` tells when they are more
    than ``max_control_bytes``."""

    def __init__(self, max_audio_bytes: int, max_control_bytes: int) -> None:
        self.audio_bytes = 0
        self._control_bytes = 0
        self._max_audio_bytes = max_audio_bytes
        self._max_control_bytes = max_control_bytes
        self._messages: deque[tuple[str | bytes, bool]] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def overfull(self) -> bool:
        return self._control_bytes > self._max_control_bytes

    def put(self, data: str | bytes, *, droppable: bool) -> list[int]:
        """The sizes of the messages that had to go for it, oldest first."""
        self._messages.append((data, droppable))
        self._count(data, droppable, 1)
        dropped: list[int] = []
        while self.audio_bytes > self._max_audio_bytes:
            dropped.append(self._drop_oldest())
        return dropped

    def take(self) -> tuple[str | bytes, bool]:
        """The oldest message, and whether it was droppable."""
        data, droppable = self._messages.popleft()
        self._count(data, droppable, -1)
        return data, droppable

    def clear(self) -> None:
        self._messages.clear()
        self.audio_bytes = self._control_bytes = 0

    def _drop_oldest(self) -> int:
        index = next(i for i, (_, droppable) in enumerate(self._messages) if droppable)
        data, droppable = self._messages[index]
        del self._messages[index]
        self._count(data, droppable, -1)
        return len(data)

    def _count(self, data: str | bytes, droppable: bool, sign: int) -> None:
        if droppable:
            self.audio_bytes += sign * len(data)
        else:
            self._control_bytes += sign * len(data)
