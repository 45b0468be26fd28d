"""What TTS adapters share: text cut to a vendor's measure, audio kept in whole samples. Pure."""


def split_text(text: str, limit: int) -> list[str]:
    """``text`` in pieces of at most ``limit`` characters, cut between words where it can be."""
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > limit:
        cut = rest.rfind(" ", 1, limit + 1)
        cut = limit if cut < 0 else cut
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest:
        pieces.append(rest)
    return pieces


def is_spoken(text: str) -> bool:
    """Marks alone make no sound: vendors refuse them, or answer with silence or noise."""
    return any(character.isalnum() for character in text)


class WholeSamples:
    """Joins a sample that a vendor's chunks cut in two."""

    def __init__(self, sample_bytes: int) -> None:
        self._sample_bytes = sample_bytes
        self._odd = b""

    def take(self, chunk: bytes) -> bytes:
        """The whole samples that there are now; the rest waits for the next chunk."""
        data = self._odd + chunk
        whole = len(data) - len(data) % self._sample_bytes
        self._odd = data[whole:]
        return data[:whole]

    def reset(self) -> None:
        """Forget a part of a sample: what follows is other audio."""
        self._odd = b""
