"""One call's fate: everything about it that is not the product's doing, drawn from one seed."""

import random
from collections import defaultdict
from hashlib import blake2b
from typing import Any

import msgspec

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from tests.sim.deepgram import LivePlan, draw_live

SEED_BITS = 48

STATEMENTS = (
    "What are your hours?",
    "I would like to speak about my last order please.",
    "Well, let me see,",
    "No.",
    "The number is four two seven one",
    "Could you tell me everything about it?",
    "Please press the keys for me.",
    "I have a code for you.",
    "Yes that is right, thank you very much.",
    "Hello? Can you hear me?",
    "Goodbye then.",
)
ANSWERS = (
    "We are open from nine to five on every day of the week except for Sunday.",
    "Yes.",
    "I see. Let me have a look at that for you, it will only take a moment of your time.",
    "One, two, three. Four? Five! Six. Seven. Eight. Nine. Ten.",
    "Certainly, Mr. Smith: your order of 3.5 kilograms, which was sent on Monday, should be "
    "with you by Friday at noon. If it is not, please call us again. We are sorry.",
    "**Well** - that's *great*; is there anything else that I can do for you today?",
)

MOMENTS = ("in a pause", "while it thinks", "while the caller speaks", "while the call ends")
"""Moments that a caller who hangs up at any time seldom meets."""


def call_seed(seed: int, number: int) -> int:
    """The seed of one call of a run."""
    digest = blake2b(f"{seed}:{number}".encode(), digest_size=SEED_BITS // 8).digest()
    return int.from_bytes(digest, "big")


class Step(msgspec.Struct, frozen=True):
    """What the caller does next.

    ``listen``: wait until the agent has been silent for ``ms``, or ``patience_ms`` have passed;
    ``over``: wait until it has been heard for ``ms``; ``wait``: let ``ms`` pass; ``sound``: be
    loud for ``ms``; ``keys``: press ``text``; ``hangup``, ``drop``, ``vanish``: see ``Phone``."""

    do: str
    ms: int = 0
    patience_ms: int = 20_000
    text: str = ""


class Net(msgspec.Struct, frozen=True):
    """The way between server and carrier, and the carrier's own faults.

    ``mark_lag_ms``: marks come back so much later still, up to ``mark_jitter_ms`` more.
    ``marks``: ``kept``, ``some_lost``, ``never``, or ``shuffled``. ``message_ms`` of
    audio are in a message, ``quiet_message_ms`` while the caller is silent: fewer are cheaper, and
    what a carrier may send after a hiccup. ``suppresses``: nothing is sent while the caller is
    silent, which most do here, for silence takes the simulation most of its time;
    ``clock_runs``: the media clock goes on meanwhile."""

    down_ms: int = 0
    up_ms: int = 0
    jitter_ms: int = 0
    lose_percent: int = 0
    swap_percent: int = 0
    mark_lag_ms: int = 0
    mark_jitter_ms: int = 0
    marks: str = "kept"
    odd_sizes: bool = False
    message_ms: int = 20
    quiet_message_ms: int = 20
    suppresses: bool = False
    clock_runs: bool = True
    first_timestamp_ms: int = 57
    unknown_every: int = 0
    start_delay_ms: int = 0
    closes_after_stop: bool = True
    reads: bool = True


class Taking(msgspec.Struct, frozen=True):
    """How the agent fills silences. ``drafts``: how many answers are begun for one turn at most,
    before it is certain; ``voiced``: spoken beforehand too. The times are those of the agent
    file; 0 is never."""

    drafts: int = 0
    voiced: bool = False
    filler_after_ms: int = 0
    backchannel_after_ms: int = 0


class Plan(msgspec.Struct, frozen=True):
    seed: int
    carrier: str
    inbound: AudioFormat
    outbound: AudioFormat
    agent: str
    cold: bool
    real_vad: bool
    net: Net
    steps: tuple[Step, ...]
    hangup_ms: int | None
    hangup_in: str
    """A moment at which the caller hangs up, as ``WatchedSession.moment`` names it; or none."""
    end: str
    stt: dict[str, Any]
    llm: dict[str, Any]
    tts: dict[str, Any]
    tool_delays_ms: tuple[int, ...]
    drain_ms: int | None
    lag_ms: int
    neighbour_ms: int | None
    """When a second caller like the first rings."""
    limit: int
    taking: Taking = Taking()
    opinions: tuple[tuple[float, int | None], ...] = ()
    """Of a model that hears ends of turns: how sure it is, and after how long; None: never."""
    live: LivePlan | None = None
    """With Deepgram's adapters in place of the scripted speech vendors."""

    def fault(self, kind: str, name: str) -> Any:
        """One of a vendor's faults, None where it has it not."""
        settings: dict[str, Any] = getattr(self, kind)
        return settings.get("faults", {}).get(name)


class _Draw(random.Random):
    """Draws of one part of a plan."""

    def chance(self, percent: float) -> bool:
        return self.random() * 100 < percent

    def between(self, low: int, high: int, step: int = 1) -> int:
        return self.randrange(low, high + 1, step)


_DRAWS: defaultdict[str, _Draw] = defaultdict(_Draw)
"""Of each part's name, seeded anew for each plan: making one seeds it twice."""


def draw_plan(seed: int) -> Plan:
    """The same seed gives the same plan. Each part has numbers of its own, so that a change to
    one leaves the others of every known seed as they were."""

    def part(name: str) -> _Draw:
        draw = _DRAWS[name]
        draw.seed(f"{name}:{seed}")
        return draw

    draw = part("line")
    carrier = draw.choice(("twilio", "twilio", "telnyx"))
    formats = (MULAW_8K,) if carrier == "twilio" else (MULAW_8K, ALAW_8K, L16_16K)
    inbound, outbound = draw.choice(formats), draw.choice(formats)
    agent = part("agent").choice(("plain", "tools", "tools", "words", "deaf", "vendor", "brief"))
    steps = _steps(part("caller"), agent)
    sounds = tuple(step.text for step in steps if step.do == "sound") or ("",)
    end, house, live, moment = part("end"), part("house"), part("live"), part("moment")
    return Plan(
        seed=seed,
        carrier=carrier,
        inbound=inbound,
        outbound=outbound,
        agent=agent,
        net=_net(part("net"), carrier),
        steps=steps,
        hangup_ms=end.between(0, 60_000) if end.chance(40) else None,
        hangup_in=moment.choice(MOMENTS) if moment.chance(10) else "",
        end=end.choice(("hangup",) * 5 + ("drop", "drop", "vanish", "mute")),
        stt=_doubting(
            part("doubts"), _revising(part("revisions"), _stt(part("stt"), agent, sounds))
        ),
        llm=_llm(part("llm")),
        tts=_tts(part("tts")),
        cold=house.chance(8),
        real_vad=house.chance(6),
        tool_delays_ms=tuple(house.choice((0, 50, 300, 1500, 4000, 30_000)) for _ in range(4)),
        drain_ms=house.between(0, 40_000) if house.chance(6) else None,
        lag_ms=house.choice((0, 0, 0, 5, 40, 400)),
        neighbour_ms=house.between(0, 5000) if house.chance(6) else None,
        limit=house.choice((1, 4)),
        taking=_taking(part("taking")),
        opinions=_opinions(part("opinions")),
        live=draw_live(live) if agent != "vendor" and live.chance(10) else None,
    )


def _taking(draw: _Draw) -> Taking:
    return Taking(
        drafts=draw.choice((0, 1, 3, 3)),
        voiced=draw.chance(50),
        filler_after_ms=draw.choice((0, 200, 700, 2000)),
        backchannel_after_ms=draw.choice((0, 0, 800, 3000)),
    )


def _opinions(draw: _Draw) -> tuple[tuple[float, int | None], ...]:
    if draw.chance(60):
        return ()
    delays_ms = (0, 60, 60, 150, 900, None)
    return tuple((draw.random(), draw.choice(delays_ms)) for _ in range(draw.between(1, 5)))


def _net(draw: _Draw, carrier: str) -> Net:
    if draw.chance(25):
        quiet_ms = 20 if draw.chance(15) else 200
        return Net(message_ms=20, quiet_message_ms=quiet_ms, suppresses=draw.chance(75))
    ordered = carrier == "twilio"
    return Net(
        down_ms=draw.choice((0, 5, 30, 80, 150)),
        up_ms=draw.choice((0, 5, 30, 80, 150)),
        jitter_ms=draw.choice((0, 0, 15, 60)),
        lose_percent=draw.choice((0, 0, 0, 1, 10)),
        swap_percent=0 if ordered else draw.choice((0, 0, 5, 30)),
        mark_lag_ms=draw.choice((0, 0, 0, 100, 900)),
        mark_jitter_ms=draw.choice((0, 0, 40, 400)),
        marks=draw.choice(("kept",) * 5 + ("some_lost", "never", "shuffled")),
        odd_sizes=draw.chance(15),
        message_ms=draw.choice((20, 60, 100, 200)),
        quiet_message_ms=draw.choice((20, 100, 200, 200, 200, 400, 400)),
        suppresses=draw.chance(85),
        clock_runs=draw.chance(50),
        first_timestamp_ms=draw.between(0, 400),
        unknown_every=draw.choice((0, 0, 50)),
        start_delay_ms=draw.choice((0, 0, 400)),
        closes_after_stop=draw.chance(70),
        reads=not draw.chance(2),
    )


def _steps(draw: _Draw, agent: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(draw.between(0, 6)):
        kind = draw.random() * 100
        listen = Step("listen", draw.choice((0, 200, 700, 1500)))
        if kind < 34:  # a usual turn
            steps += [listen, _says(draw)]
        elif kind < 50:  # interrupts, talks over
            steps += [Step("over", draw.between(0, 3000)), _says(draw)]
        elif kind < 60:  # cough
            steps += [Step("over", draw.between(0, 2000)), Step("sound", draw.between(40, 160))]
        elif kind < 70:  # murmur
            murmur = Step("sound", draw.between(150, 450), text=draw.choice(("mm-hm", "okay")))
            steps += [Step("over", draw.between(0, 2500)), murmur]
        elif kind < 80:  # hesitates in mid-sentence
            pause = Step("wait", draw.choice((150, 350, 500, 900)))
            steps += [listen, _says(draw), pause, _says(draw)]
        elif kind < 90:
            keys = "".join(draw.choice("0123456789*#") for _ in range(draw.between(1, 5)))
            steps += [listen if draw.chance(60) else Step("over", 300)]
            steps += [Step("keys", draw.choice((0, 150, 900)), text=keys)]
        elif kind < 95:
            steps += [Step("wait", draw.between(0, 30_000))]
        else:  # a long story, or a television
            steps += [Step("sound", draw.between(3000, 25_000), text=draw.choice(STATEMENTS))]
    if agent == "brief" and draw.chance(50):
        steps += [Step("sound", draw.between(20_000, 60_000), text="and so on")]
    return tuple(steps)


def _says(draw: _Draw) -> Step:
    text = draw.choice(STATEMENTS)
    return Step("sound", draw.between(300, 2500), text=text if draw.chance(95) else "")


def _faults(draw: _Draw, percent: int) -> dict[str, Any]:
    """Nothing, or one way of going wrong, of some or all of a vendor's streams."""
    if not draw.chance(percent):
        return {}
    faults: dict[str, Any] = draw.choice(
        (
            {"never_answers": True},
            {"fail_at": "open"},
            {"fail_at": "first_output"},
            {"fail_at": "mid", "mid_after": draw.between(0, 8)},
            {"fail_at": "mid_word", "mid_after": draw.between(1, 8)},
            {"fail_after_ms": draw.between(0, 6000)},
            {"stall_after": draw.between(0, 10)},
            {"garbage": draw.choice(("empty", "control", "odd", "odd"))},
            {"garbage": "huge" if draw.chance(10) else "odd", "first": 1},
            {"delay_ms": draw.choice((800, 3000, 7000, 12_000))},
            {"jitter_ms": draw.choice((100, 900))},
            {"misbehave_after_cancel": True},
            {"misbehave_after_cancel": True, "delay_ms": draw.choice((500, 6100))},
        )
    )
    if "fail_at" in faults or "fail_after_ms" in faults:
        faults["code"] = draw.choice(("disconnected", "vendor_error", "auth_failed", "overloaded"))
    if draw.chance(60):
        faults["probability"] = draw.choice((0.2, 0.5))
    if draw.chance(30):
        faults["first"] = draw.between(1, 2)
    return faults


def _stt(draw: _Draw, agent: str, sounds: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "utterances": sounds,
        "interim_every_ms": draw.choice((100, 300, 700)),
        "final_ms": draw.choice((0, 0, 80, 300, 690, 700, 1200)),
        "end_of_turn": agent == "vendor",
        "seed": draw.between(0, 1 << 30),
    }
    if agent == "vendor" or draw.chance(30):
        settings["eager_after_ms"] = draw.between(100, 1500)
        settings["resumed_after_ms"] = draw.between(100, 2500)
    return _with_faults(settings, _faults(draw, 15))


def _revising(draw: _Draw, vendor: dict[str, Any]) -> dict[str, Any]:
    """Of some vendors each final has all of the turn's text."""
    return {**vendor, "revises": True} if draw.chance(30) else vendor


def _doubting(draw: _Draw, vendor: dict[str, Any]) -> dict[str, Any]:
    """Some vendors are not sure of some of what they hear."""
    return {**vendor, "unsure_every": draw.between(1, 4)} if draw.chance(30) else vendor


def _llm(draw: _Draw) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {"match": "goodbye", "reply": draw.choice(("", "It was nice.")), "tool": _END},
        {
            "match": "press",
            "reply": draw.choice(("", "I press. ")),
            "tool": _DTMF,
            "after": "Done.",
        },
        {"match": "code", "tool": _COLLECT, "after": "I got {result}."},
        {"match": "hours", "reply": draw.choice(("", "I look. ")), "tool": {"name": "lookup"}},
        {"match": "everything", "tools": [_DTMF, {"name": "lookup"}, {"name": "missing"}]},
    ]
    settings = {
        "replies": tuple(draw.sample(ANSWERS, 3)),
        "rules": rules if draw.chance(70) else [],
        "first_token_ms": draw.choice((0, 100, 300, 1500)),
        "token_interval_ms": draw.choice((0, 5, 40)),
        "seed": draw.between(0, 1 << 30),
    }
    return _with_faults(settings, _faults(draw, 18))


_END = {"name": "end_call", "arguments": {"farewell": "Good bye to you."}}
_DTMF = {"name": "send_dtmf", "arguments": {"digits": "1w2"}}
_COLLECT = {
    "name": "collect_digits",
    "arguments": {"count": 3, "timeout_s": 3, "prompt": "Your code, please."},
}


def _tts(draw: _Draw) -> dict[str, Any]:
    settings = {
        "first_audio_ms": draw.choice((0, 100, 400)),
        "chunk_ms": draw.choice((100, 200, 400)),
        "chunk_interval_ms": draw.choice((0, 10, 90, 190)),
        "word_ms": draw.choice((160, 200, 300)),
        "seed": draw.between(0, 1),  # each makes its own sound, which takes a while
    }
    return _with_faults(settings, _faults(draw, 18))


def _with_faults(settings: dict[str, Any], faults: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "faults": faults} if faults else settings
