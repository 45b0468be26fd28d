"""What the turn machine asks of the caller's line, between the VAD's edges."""

from typing import Protocol


class Ear(Protocol):
    """The VAD tells late, because it has to be sure. This is what it suspects."""

    def may_begin(self) -> bool:
        """Whether the caller, who was silent, has perhaps begun to speak."""

    def may_stop(self) -> bool:
        """Whether the caller, who was speaking, has perhaps stopped."""


class DeafEar:
    """Suspects nothing."""

    def may_begin(self) -> bool:
        return False

    def may_stop(self) -> bool:
        return False


DEAF = DeafEar()
