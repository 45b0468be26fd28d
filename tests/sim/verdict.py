"""What must hold once a call is over."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tests.sim.ear import SpokenWord
from tests.sim.phone import Phone
from tests.sim.timers import START_S
from tests.sim.world import Line, World
from voicecore.journal import EVENTS_DROPPED, read_events

LATE_OWNERS = ("media.", "voicecore.")
VENDORS = "voicecore.adapters.scripted"


def judge(world: World, line: Line, *, check_end: bool) -> list[str]:
    """Everything that is wrong with a call, by the number of the invariant."""
    session = line.session
    wrong = [*line.phone.wrong, *_protocol(line)]
    if session is None:
        return wrong
    wrong += session.wrong
    wrong += session.queues
    if not check_end or session.wrong:
        return wrong
    wrong += _replies(line)
    wrong += _history(world, line)
    wrong += _leftovers(world, line)
    wrong += _events(world, line)
    return wrong


def _protocol(line: Line) -> list[str]:
    if len(line.phone.closes) > 1:
        return ["6: the socket was closed twice"]
    return []


def _replies(line: Line) -> list[str]:
    """3: each reply ends exactly once."""
    session = line.session
    assert session is not None
    begun = set(range(1, session.replies_begun + 1))
    if session.ended_replies != begun:
        never = sorted(begun ^ session.ended_replies)
        return [f"3: replies {never} were begun and never ended: {session.ended_reason}"]
    return []


def _of(line: Line, type_: str) -> list[Any]:
    return [data for _, data in _at(line, type_)]


def _at(line: Line, type_: str) -> list[tuple[int, Any]]:
    """With when they came."""
    return [(at_ms, data) for at_ms, kind, data in line.events if kind == type_]


# 4: history equals audio played


def _history(world: World, line: Line) -> list[str]:
    session, wrong = line.session, list[str]()
    assert session is not None
    turns = [turn for turn in _of(line, "agent_turn") if turn["kind"] != "backchannel"]
    told = " ".join(" ".join(turn["heard_text"] for turn in turns).split())
    kept = " ".join(" ".join(session.assistant_texts).split())
    if told != kept:
        wrong.append(f"4: the history has {kept[-200:]!r}, the events have {told[-200:]!r}")
    if not world.tts.truthful or not world.plan.net.reads:
        return wrong
    tally = line.phone.ear.tally()
    for at_ms, turn in _at(line, "agent_turn"):
        reply = turn["reply"]
        words = line.said.get(reply, [])
        heard = _heard_words(reply, words, tally)
        said = turn["heard_text"].split()
        if turn["ended"] != "played" and turn["start_ms"] is not None:
            line.word_errors.append(abs(len(heard) - len(said)))
        permitted = _permitted_words(line, turn, at_ms, words)
        if abs(len(heard) - len(said)) > permitted + _cuts(line, turn) - 1:
            how = turn["ended"] + (", with tones" if reply in session.with_tones else "")
            count = "all of its words" if len(heard) == len(words) > 1 else f"{len(heard)} words"
            wrong.append(
                f"4: of reply {reply} ({how}) the caller heard {count}, "
                f"{' '.join(heard)[-80:]!r}, the history has {len(said)}: {' '.join(said)[-80:]!r}"
            )
    return wrong


def _heard_words(
    reply: int, words: list[SpokenWord], tally: Mapping[tuple[int, bytes], int]
) -> list[str]:
    """``tally`` counts each sound once: of a sentence that was said again it has the sum."""
    left: dict[bytes, int] = {}
    heard = []
    for word in words:
        left_ms = left.get(word.key)
        if left_ms is None:
            left_ms = tally.get((reply, word.key), 0)
        heard_ms = min(left_ms, word.duration_ms)
        left[word.key] = left_ms - heard_ms
        if 2 * heard_ms >= word.duration_ms:
            heard.append(word.text)
    return heard


def _permitted_words(line: Line, turn: Any, at_ms: int, words: list[SpokenWord]) -> int:
    """How many words the server may be off: one, or as many as have their middle, from which on
    they count as heard, within what it cannot know. A clear travels like the audio before it, so
    that only jitter counts. That the caller is gone is news one way, and tells nothing of the
    other but by the marks; so it is where he went before the clear came, and was told of too."""
    plan, net = line.world.plan, line.world.plan.net
    unknown_ms = net.jitter_ms
    if turn["ended"] == "call_ended" or _gone_before(line, at_ms + net.down_ms + net.jitter_ms):
        unknown_ms += plan.lag_ms + net.mark_lag_ms + net.mark_jitter_ms
        if net.marks != "kept" or not line.phone.delay_told:
            unknown_ms += net.down_ms + net.up_ms
    shortest_ms = min((word.duration_ms for word in words), default=100)
    permitted = unknown_ms // shortest_ms + 1
    if line.world.live is not None and not _placed(turn, words):
        return max(permitted, len(words) // 2)
    return permitted


def _gone_before(line: Line, at_ms: int) -> bool:
    """Whether the caller was no more there when what was sent before came to him."""
    ended_us = line.phone.ended_us
    return ended_us is not None and START_S * 1000 + ended_us / 1000 < at_ms


def _cuts(line: Line, turn: Any) -> int:
    """In how many places the reply may have been cut: at its end, and in each filler, which gives
    way to the speech behind it. Of each the server may be a word off."""
    cuts = sum(1 for filler in _of(line, "agent_filler") if filler["reply"] == turn["reply"])
    return max(cuts if turn["ended"] == "played" else cuts + 1, 1)


def _placed(turn: Any, words: list[SpokenWord]) -> bool:
    """Whether the server was told where the words of a live voice lie, which it is at the end of
    a piece. Before, it knows them by the usual rate of voices only."""
    return all(
        abs(word.end_ms - word.start_ms - spoken.duration_ms) <= 1
        for word, spoken in zip(turn["words"], words, strict=False)
    )


# 6: nothing remains


def _leftovers(world: World, line: Line) -> list[str]:
    session = line.session
    assert session is not None
    wrong = [f"6: {what} remains" for what in session.left_behind()]
    wrong += [f"6: the task {task.get_coro()!r} remains" for task in world.loop.tasks()]
    for callback in world.timers.pending():
        owner = _module(callback)
        if owner.startswith(LATE_OWNERS) and not owner.startswith(VENDORS):
            wrong.append(f"6: a timer of {owner} remains: {callback!r}")
    if len(line.phone.closes) != 1:
        wrong.append(f"6: the socket was closed {len(line.phone.closes)} times")
    if line.files.closed != 1:
        wrong.append(f"6: the call's files were closed {line.files.closed} times")
    if len(world.calls):
        wrong.append("6: the call is still counted as live")
    return wrong


def _module(callback: Any) -> str:
    """Where the callback's code is, as far as it is the product's: what watches it is none."""
    owner = getattr(callback, "__self__", None)
    if owner is None:
        return str(callback.__module__)
    modules = [each.__module__ for each in type(owner).__mro__]
    return next((name for name in modules if name.startswith(LATE_OWNERS)), modules[0])


# 7: events are gapless and give the same bill


def _events(world: World, line: Line) -> list[str]:
    events = read_events(b"".join(line.files.lines))
    wrong = []
    dropped = any(event.type == EVENTS_DROPPED for event in events)  # a flood is not written
    numbers = [event.sequence for event in events]
    if not dropped and numbers != list(range(1, len(line.events) + 1)):
        wrong.append("7: the journal's numbers have a gap")
    if any(later.at_ms < event.at_ms for event, later in pairwise(events)):
        wrong.append("7: the journal goes back in time")
    types = [event.type for event in events]
    if types[:1] != ["call_started"] or types.count("call_started") != 1:
        wrong.append(f"7: the journal begins with {types[:2]}")
    if types[-1:] != ["call_ended"] or types.count("call_ended") != 1:
        wrong.append(f"7: the journal ends with {types[-2:]}")
    speaking = [type_ for type_ in types if type_ in ("speech_started", "speech_stopped")]
    if any(one == other for one, other in pairwise(speaking)):
        wrong.append("7: speech starts or stops twice")
    answered = Counter(data["call_id"] for data in _of(line, "tool_answered"))
    called = Counter(data["call_id"] for data in _of(line, "tool_called"))
    if any(count > 1 for count in answered.values()) or answered - called:
        wrong.append("7: a tool answered twice or uncalled")
    return wrong + _duration(world, line, events[-1].at_ms if events else 0)


def _duration(world: World, line: Line, ended_ms: int) -> list[str]:
    wrong = []
    phone: Phone = line.phone
    if phone.started_us is not None and phone.ended_us is not None:
        real_ms = (phone.ended_us - phone.started_us) // 1000
        slack_ms = world.plan.net.up_ms + 3 * world.plan.lag_ms + 50
        if abs(real_ms - ended_ms) > slack_ms:
            wrong.append(f"7: the call took {real_ms} ms, its events say {ended_ms} ms")
    return wrong


def judge_bill(world: World) -> list[str]:
    """7: what the events say was used is what the vendors were given: every character that was
    to be spoken, heard or not. Of the model's tokens only whole answers tell, so that of calls
    with replies or drafts that were cut the events may say less."""
    turns = [turn for line in world.lines for turn in _of(line, "agent_turn")]
    whole = all(turn["ended"] == "played" for turn in turns)
    drafts = [draft for line in world.lines for draft in _of(line, "draft_dropped")]
    whole &= all(draft["input_tokens"] is not None for draft in drafts)
    whole &= not any(world.plan.fault(kind, "misbehave_after_cancel") for kind in ("llm", "tts"))
    if world.live is not None:
        return []
    told = [data["characters"] for line in world.lines for data in _of(line, "tts_usage")]
    sent = [piece.characters for piece in world.tts.pieces if piece.owner and piece.characters]
    wrong = _differ("characters", [count for count in told if count], sent, exactly=True)
    usage = [
        data
        for line in world.lines
        for kind in ("llm_usage", "draft_dropped")
        for data in _of(line, kind)
    ]
    for tokens in ("input_tokens", "output_tokens"):
        counted = [data[tokens] for data in usage if data[tokens] is not None]
        given = [getattr(done, tokens) for done in world.llm.done]
        wrong += _differ(tokens, counted, given, exactly=whole)
    return wrong


def _differ(what: str, told: list[int], real: list[int], *, exactly: bool) -> list[str]:
    more, less = Counter(told) - Counter(real), Counter(real) - Counter(told)
    if more or (exactly and less):
        return [f"7: {what} by the events: {sorted(told)}; by the vendor: {sorted(real)}"]
    return []
