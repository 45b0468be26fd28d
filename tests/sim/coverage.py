"""What a simulated call really went through, so that a run can tell that it was wild enough."""

from itertools import pairwise

from tests.sim.world import Line, World

REQUIRED = (
    "jitter",
    "loss",
    "media reordered",
    "marks late",
    "marks lost",
    "marks reordered",
    "slow first token",
    "stall in mid-sentence",
    "garbage",
    "vendor disconnects",
    "audio after its cancel",
    "socket half closed",
    "socket lost",
    "server not read",
    "hang-up while the agent speaks",
    "hang-up while it thinks",
    "hang-up while the caller speaks",
    "hang-up in a pause",
    "hang-up in silence",
    "hang-up while the call ends",
    "cut",
    "resumed",
    "draft used",
    "draft dropped",
    "filler",
    "backchannel",
    "from the cache",
    "end heard",
    "text revised",
)
"""Every run of some length has all of these."""

_EVENTS = {
    "agent_resumed": "resumed",
    "draft_used": "draft used",
    "draft_dropped": "draft dropped",
    "agent_filler": "filler",
    "turn_end_judged": "end heard",
}
SLOW_TOKEN_MS = 800
LATE_MARK_MS = 100


def covered(world: World) -> set[str]:
    """What happened in the call."""
    seen: set[str] = set()
    for line in world.lines:
        seen |= _on_the_line(world, line)
        seen |= _in_the_call(line)
    if any(wait_ms >= SLOW_TOKEN_MS for wait_ms in world.llm.waits_ms):
        seen.add("slow first token")
    if any(piece.late for piece in world.tts.pieces):
        seen.add("audio after its cancel")
    if world.live is not None and world.live.late:
        seen.add("audio after its cancel")
    if world.live is not None and world.live.spoilt:
        seen.add("garbage")
    for kind, used in (("stt", True), ("llm", world.llm.requests), ("tts", world.tts.pieces)):
        if used and world.live is None and world.plan.fault(kind, "garbage"):
            seen.add("garbage")
    return seen


def _on_the_line(world: World, line: Line) -> set[str]:
    net, phone = world.plan.net, line.phone
    seen = set(phone.seen)
    if net.jitter_ms and phone.started_us is not None:
        seen.add("jitter")
    if phone.marks_returned and net.mark_lag_ms + net.mark_jitter_ms >= LATE_MARK_MS:
        seen.add("marks late")
    if not net.reads:
        seen.add("server not read")
    return seen


def _in_the_call(line: Line) -> set[str]:
    seen: set[str] = set()
    for _, type_, data in line.events:
        if type_ == "vendor_failed":
            if data["code"] == "stalled":
                seen.add("stall in mid-sentence")
            elif data["code"] == "disconnected":
                seen.add("vendor disconnects")
        elif type_ == "agent_turn" and data["start_ms"] is not None and data["ended"] != "played":
            seen.add("cut")
        elif type_ == "agent_turn" and data["kind"] == "backchannel":
            seen.add("backchannel")
        elif type_ == "tts_usage" and data["cached_characters"]:
            seen.add("from the cache")
        elif type_ == "stt_result" and data.get("revises"):
            seen.add("text revised")
        elif type_ == "overlap_judged" and data["verdict"] == "noise":
            seen.add("taken for noise")
        elif type_ in _EVENTS:
            seen.add(_EVENTS[type_])
    kinds = [type_ for _, type_, _ in line.events]
    if ("agent_resumed", "agent_paused") in pairwise(
        kind for kind in kinds if kind in ("agent_paused", "agent_resumed")
    ):
        seen.add("paused again")
    return seen
