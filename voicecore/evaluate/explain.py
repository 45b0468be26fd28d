"""Why the agent did what the caller heard, by the server's own events. Pure. It explains a verdict
and never changes one."""

from collections.abc import Iterable, Sequence

from voicecore.evaluate.judge import Verdict
from voicecore.journal import Event

AFTER_MS = 2_500
_BEFORE_MS = 100
_MAX_ITEMS = 6


def explanation(verdict: Verdict, events: Iterable[Event]) -> str:
    """What the server noticed from the utterance's onset on, in short; empty where it was
    nothing. Its clock and the phone's begin within a few milliseconds of each other."""
    happened = verdict.happened
    told: list[str] = []
    for event in events:
        if happened.start_ms - _BEFORE_MS <= event.at_ms <= happened.end_ms + AFTER_MS:
            text = _tell(event)
            if text and (not told or told[-1] != text):
                told.append(text)
    return "; ".join(told[:_MAX_ITEMS])


def explained(verdict: Verdict, events: Sequence[Event]) -> str:
    """The verdict's reason, and behind it the server's."""
    if verdict.scored and verdict.right:
        return verdict.why
    server = explanation(verdict, events)
    return f"{verdict.why} (server: {server})" if server else verdict.why


def _tell(event: Event) -> str:
    data = event.data
    match event.type:
        case "stt_result" if data.get("text"):
            return f'{data.get("kind")} "{str(data["text"])[:60]}"'
        case "caller_turn":
            return f'took the turn as "{str(data.get("text"))[:60]}"'
        case "agent_paused":
            return "paused"
        case "agent_resumed":
            return "went on"
        case "overlap_judged":
            return f"judged {data.get('verdict')} after {data.get('paused_ms')} ms of pause"
        case "vendor_failed":
            return f"{data.get('kind')} failed: {data.get('code')}"
    return ""
