"""Twilio's side of Media Streams.

Source: twilio.com/docs/voice/media-streams/websocket-messages. All counters are strings; the
sequence is 1 for ``start`` and counts every later message; a media's chunk counts per track.
"""

import msgspec

from media.audio.format import MULAW_8K
from media.phone.json_messages import Message
from media.phone.json_side import JsonSide
from media.phone.side import CarrierKind, StreamSpec, Violation

TWILIO = CarrierKind("twilio", (MULAW_8K,), keeps_order=True, max_parameter_chars=500)


class _Message(Message):
    streamSid: str = ""


class TwilioSide(JsonSide):
    """See ``CarrierSide``. Only mu-law at 8 kHz, both ways.

    :raises ValueError: the spec asks for another codec."""

    title = "Twilio"
    sequence_key = "sequenceNumber"
    stream_key = "streamSid"
    decode = msgspec.json.Decoder(_Message).decode

    def __init__(self, spec: StreamSpec) -> None:
        if spec.inbound != MULAW_8K or spec.outbound != MULAW_8K:
            raise ValueError("Twilio streams mu-law at 8 kHz, both ways")
        super().__init__(spec)

    def connected(self) -> bytes:
        return b'{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def start(self) -> bytes:
        ids = self.spec.ids
        start = {
            "accountSid": ids.account_id,
            "streamSid": ids.stream_id,
            "callSid": ids.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self.spec.parameters),
        }
        return self._event("start", {"start": start})

    def dtmf(self, digit: str, unix_micros: int) -> bytes:
        return self._event("dtmf", {"dtmf": {"track": "inbound_track", "digit": digit}})

    def stop(self) -> bytes:
        ids = self.spec.ids
        return self._event("stop", {"stop": {"accountSid": ids.account_id, "callSid": ids.call_id}})

    def unknown(self) -> bytes:
        return self._event("line-quality", {"line-quality": {"mos": "4.1"}})

    def lose(self) -> None:
        """Loss shows in the timestamps alone: the numbers have no hole."""

    def _unreadable(self, error: Exception) -> str:
        warning = 31951 if isinstance(error, msgspec.MsgspecError) else 31950
        return f"{error} (Twilio warns {warning})"

    def _misaddressed(self, message: _Message) -> Violation | None:
        if not message.streamSid:
            return Violation("missing_stream_id", f"{message.event} has no streamSid")
        if message.streamSid != self.spec.ids.stream_id:
            return Violation("wrong_stream_id", f"{message.event} names another stream")
        return None
