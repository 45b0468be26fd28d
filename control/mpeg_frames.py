"""How long an MPEG audio file is: by its frames, and not by what its head says.

A decoder believes the head that many files begin with (``Xing`` or ``Info``, which tells how many
frames there are), and where there is none it guesses from the first frame. Both may be wrong, and
it stops there. Layers and rates by ISO 11172-3 and 13818-3.
"""

from collections.abc import Iterator, Mapping

import msgspec

MOST_SKIPPED = 64 * 1024
"""So many bytes that are no frame are looked over; decoders give up earlier."""

_HEAD_BYTES = 4
_HAS_FRAMES = 1
_RATES_HZ = (44_100, 48_000, 32_000)
_FIRST = {  # kbit/s of MPEG 1, by the layer
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_SECOND_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SECOND: Mapping[int, tuple[int, ...]] = {  # of MPEG 2 and 2.5
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: _SECOND_LOW,
    3: _SECOND_LOW,
}


class Frame(msgspec.Struct, frozen=True):
    """One, by its four bytes."""

    at: int
    kind: tuple[int, int, int]
    """Version (as it is written), layer and rate, which all frames of a file share."""
    size_bytes: int
    samples: int
    side_bytes: int
    """Between those four and what it holds, without a checksum."""


def frames_of(content: bytes, most: int) -> Iterator[Frame]:
    """The frames, one after another, ``most`` of them at the most."""
    at, skipped, first = _after_tags(content), 0, None
    while most and skipped < MOST_SKIPPED:
        frame = _frame_at(content, at)
        if frame is None or (first is not None and frame.kind != first.kind):
            found = content.find(b"\xff", at + 1, at + 1 + MOST_SKIPPED)
            if found < 0:
                return
            skipped, at = skipped + found - at, found
            continue
        first = first or frame
        yield frame
        at, most = at + frame.size_bytes, most - 1


def with_true_head(content: bytes, claimed: int, most: int) -> bytes:
    """The file, which decoders decode to its end.

    :param claimed: how many samples a decoder wants to decode.
    :param most: after so many samples it is too long anyway."""
    frames = frames_of(content, 1 + most // 384)
    first = next(frames, None)
    if first is None or first.kind[1] != 3:  # only layer 3 has such a head, or needs it
        return content
    has_checksum = not content[first.at + 1] & 1
    at = first.at + _HEAD_BYTES + first.side_bytes + (2 if has_checksum else 0)
    has_head = content[at : at + 4] in (b"Xing", b"Info")
    count = sum(1 for _ in frames) + (0 if has_head else 1)
    # What an encoder puts before and behind the sound is less than that, and is left away.
    if count * first.samples <= claimed + 8 * first.samples:
        return content
    sound = first.at + (first.size_bytes if has_head else 0)
    return _head(content, first, count) + content[sound:]


def _head(content: bytes, first: Frame, count: int) -> bytes:
    """A frame like the first one, that tells how many there are."""
    told = b"Xing" + _HAS_FRAMES.to_bytes(4, "big") + count.to_bytes(4, "big")
    begin = content[first.at : first.at + _HEAD_BYTES]
    for rate_index in range(1, 15):
        head = bytes((begin[0], begin[1] | 1, (begin[2] & 0x0F) | rate_index << 4, begin[3]))
        frame = _frame_at(head, 0)
        if frame is not None and frame.size_bytes >= _HEAD_BYTES + first.side_bytes + len(told):
            return (head + bytes(first.side_bytes) + told).ljust(frame.size_bytes, b"\0")
    raise AssertionError("no frame has room")


def _after_tags(content: bytes) -> int:
    """Where ID3v2's tags end."""
    at = 0
    while content[at : at + 3] == b"ID3" and len(content) >= at + 10:
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if content[at + 5] & 0x10 else 0)
    return at


def _frame_at(content: bytes, at: int) -> Frame | None:
    head = content[at : at + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, hz_index = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate_index in (0, 15) or hz_index == 3:
        return None
    is_first = version == 3
    hz = _RATES_HZ[hz_index] >> (0 if is_first else 1 if version == 2 else 2)
    kbit_s = (_FIRST if is_first else _SECOND)[layer][rate_index]
    padding = head[2] >> 1 & 1
    samples = 384 if layer == 1 else 576 if layer == 3 and not is_first else 1152
    slot = 4 if layer == 1 else 1
    size = (samples * kbit_s * 125 // (hz * slot) + padding) * slot
    is_mono = head[3] >> 6 == 3
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    return Frame(at, (version, layer, hz), size, samples, side)
