import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from media.audio.format import L16_16K, MULAW_8K
from media.phone.awkward import Awkward, AwkwardPlan, Send, awkward_plan
from media.phone.side import StreamIds, StreamSpec
from media.phone.sides import carrier_kind, make_side

FRAME = bytes(range(160))


def schedule(plan: AwkwardPlan, carrier: str = "twilio", frames: int = 500) -> list[Send]:
    """Everything sent, in the order of time, as a socket would send it."""
    keeps_order = carrier_kind(carrier).keeps_order
    side = make_side(carrier, StreamSpec(StreamIds("S", "C", "A")))
    awkward = Awkward(plan, side, keeps_order=keeps_order)
    sends = awkward.opening(0)
    start_us = sends[-1].at_us
    for index in range(frames):
        sends += awkward.frame(start_us + index * 20_000, FRAME)
    return sorted(sends, key=lambda send: send.at_us)


def decoded(sends: list[Send]) -> list[dict[str, Any]]:
    return [json.loads(send.message) for send in sends]


def audio(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(
        base64.b64decode(message["media"]["payload"])
        for message in messages
        if message["event"] == "media"
    )


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule(awkward_plan(7, keeps_order=True)) == schedule(
        awkward_plan(7, keeps_order=True)
    )
    assert schedule(awkward_plan(7, keeps_order=True)) != schedule(
        awkward_plan(8, keeps_order=True)
    )


def test_a_good_day_is_a_frame_every_twenty_milliseconds() -> None:
    sends = schedule(AwkwardPlan(first_timestamp_ms=88), frames=3)
    assert [send.at_us for send in sends] == [0, 0, 1, 20_000, 40_000]
    media = decoded(sends)[2:]
    assert [message["media"]["timestamp"] for message in media] == ["88", "108", "128"]


@pytest.mark.parametrize("seed", range(5))
def test_twilio_loses_order_never(seed: int) -> None:
    messages = decoded(schedule(awkward_plan(seed, keeps_order=True)))
    numbers = [int(message["sequenceNumber"]) for message in messages[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_telnyx_reorders() -> None:
    plan = AwkwardPlan(reorder_percent=10)
    messages = decoded(schedule(plan, "telnyx"))
    chunks = [int(m["media"]["chunk"]) for m in messages if m["event"] == "media"]
    assert chunks != sorted(chunks)
    assert sorted(chunks) == list(range(1, 501))
    assert decoded(schedule(plan, "twilio"))[2]["media"]["chunk"] == "1"


def test_odd_sizes_carry_every_byte() -> None:
    messages = decoded(schedule(AwkwardPlan(payload_bytes=(1, 900))))
    sizes = {
        len(base64.b64decode(m["media"]["payload"])) for m in messages if m["event"] == "media"
    }
    assert len(sizes) > 20
    got = audio(messages)
    assert len(got) > 500 * 160 - 900
    assert got == (FRAME * 500)[: len(got)]


def test_odd_sizes_of_l16_are_whole_samples() -> None:
    side = make_side("telnyx", StreamSpec(StreamIds("S", "C", "A"), L16_16K, L16_16K))
    awkward = Awkward(AwkwardPlan(payload_bytes=(1, 99)), side, keeps_order=False)
    awkward.opening(0)
    sends = awkward.frame(0, bytes(640))
    assert sends
    assert all(len(base64.b64decode(m["media"]["payload"])) % 2 == 0 for m in decoded(sends))


@pytest.mark.parametrize(("carrier", "last_chunk"), [("twilio", 470), ("telnyx", 500 - 3)])
def test_lost_audio_leaves_a_hole_in_the_timestamps(carrier: str, last_chunk: int) -> None:
    """Ten holes of three frames, the last at the very end; Telnyx' numbers have them too."""
    plan = AwkwardPlan(gap_every_ms=1000, gap_ms=60)
    media = [m["media"] for m in decoded(schedule(plan, carrier)) if m["event"] == "media"]
    stamps = [int(piece["timestamp"]) for piece in media]
    assert len(media) == 470
    assert {after - before for before, after in pairwise(stamps)} == {20, 80}
    assert int(media[-1]["chunk"]) == last_chunk


def test_jitter_is_bounded_and_unknown_messages_come() -> None:
    plan = AwkwardPlan(jitter_ms=60, unknown_every_ms=1000, start_delay_ms=300)
    sends = schedule(plan)
    assert sends[1].at_us == 300_000
    late = [
        send.at_us - 300_000 - 20_000 * (int(message["media"]["chunk"]) - 1)
        for send, message in zip(sends, decoded(sends), strict=True)
        if message["event"] == "media"
    ]
    assert 0 <= min(late) < max(late) <= 61_000
    assert sum(message["event"] == "line-quality" for message in decoded(sends)) == 9


@pytest.mark.parametrize("half_message", [True, False])
def test_the_socket_drops_once_and_nothing_follows(half_message: bool) -> None:
    plan = AwkwardPlan(drop_at_ms=2000, half_message=half_message)
    sends = schedule(plan)
    assert [send.ending for send in sends[:-1]] == [""] * (len(sends) - 1)
    assert sends[-1].ending == ("half_message" if half_message else "drop")
    assert 2_000_000 <= sends[-1].at_us <= 2_020_000


def test_control_messages_keep_their_place() -> None:
    side = make_side("twilio", StreamSpec(StreamIds("S", "C", "A")))
    awkward = Awkward(AwkwardPlan(jitter_ms=50, seed=1), side, keeps_order=True)
    awkward.opening(0)
    frames = awkward.frame(0, FRAME)
    mark = awkward.control(0, side.mark("m"))
    assert mark.at_us > frames[-1].at_us


def test_plans_of_a_seed_keep_the_call_alive() -> None:
    for seed in range(50):
        plan = awkward_plan(seed, keeps_order=bool(seed % 2))
        assert plan.drop_at_ms is None
        assert plan.first_timestamp_ms > 0
        assert plan.gap_ms < plan.gap_every_ms / 20
        assert plan.payload_bytes is not None
        assert plan.payload_bytes[0] < MULAW_8K.frame_bytes < plan.payload_bytes[1]
        assert (plan.reorder_percent == 0) == bool(seed % 2)
