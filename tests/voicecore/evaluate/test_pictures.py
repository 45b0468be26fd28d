"""A call as a picture: what it shows, and that it is drawn."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voicecore.evaluate.picture_labels import Shelf, cut_to, wrapped
from voicecore.evaluate.picture_view import Span, State, plain_text, view_of
from voicecore.evaluate.pictures import HEIGHT_PX, WIDTH_PX, draw_call
from voicecore.evaluate.results import Judged


def event(at_ms: Any, kind: str, /, **data: Any) -> dict[str, Any]:
    return {"sequence": 1, "at_ms": at_ms, "type": kind, "data": data}


CALL = [
    event(0, "call_started"),
    event(1060, "speech_started", at_ms=1000),
    event(2200, "speech_stopped", at_ms=2000),
    event(2400, "caller_turn", text="Where are you?", start_ms=1000, end_ms=2000),
    event(3600, "agent_paused", reply=1, played_ms=600),
    event(3900, "overlap_judged", reply=1, verdict="backchannel", paused_ms=300),
    event(3900, "agent_resumed", reply=1, from_ms=580),
    event(
        5000,
        "agent_turn",
        reply=1,
        start_ms=3000,
        ended="interrupted",
        text="At 12 Market Street.",
        heard_text="At 12 Market",
    ),
    event(6000, "call_ended", reason="caller_hangup"),
]


class TestView:
    def test_states_follow_one_another_without_a_gap(self) -> None:
        states = view_of(CALL).states
        assert [(span.state, span.from_ms, span.to_ms) for span in states] == [
            (State.LISTENING, 0, 2400),
            (State.THINKING, 2400, 3000),
            (State.SPEAKING, 3000, 3600),
            (State.PAUSED, 3600, 3900),
            (State.SPEAKING, 3900, 5000),
            (State.LISTENING, 5000, 6000),
        ]

    def test_decisions_are_named(self) -> None:
        labels = [decision.label for decision in view_of(CALL).decisions]
        assert labels == [
            "takes the turn",
            "pauses",
            "hears: backchannel",
            "goes on",
            "cut off",
            "ends: caller_hangup",
        ]

    def test_what_was_not_heard_is_set_apart(self) -> None:
        (text,) = view_of(CALL).agent_texts
        assert (text.text, text.unheard) == ("At 12 Market", "Street.")

    def test_speech_that_does_not_end_lasts_to_the_end(self) -> None:
        view = view_of(CALL[:2], audio_ms=4000)
        assert view.caller_spans == (Span(1000, 4000),)

    def test_an_answer_that_never_came_is_thought_about_to_the_end(self) -> None:
        states = view_of([*CALL[:4], event(9000, "call_ended")]).states
        assert states[-1].state is State.THINKING

    @pytest.mark.parametrize(
        "odd",
        [
            {},
            {"at_ms": "x", "type": "caller_turn", "data": {}},
            {"at_ms": 1, "type": "caller_turn", "data": None},
            {"at_ms": True, "type": 7, "data": []},
            {"at_ms": 10**30, "type": "agent_turn", "data": {"start_ms": float("nan")}},
            {"at_ms": 5, "type": "agent_turn", "data": {"start_ms": -4, "text": 3}},
            {"at_ms": 5, "type": "overlap_judged", "data": {"verdict": {"a": 1}}},
        ],
    )
    def test_odd_events_are_passed_over(self, odd: dict[str, Any]) -> None:
        assert view_of([*CALL, odd]).length_ms == 6000

    def test_texts_are_one_short_printable_line(self) -> None:
        assert plain_text("a\nb\x00\u202ec\td") == "a bc d"
        assert len(plain_text("x" * 1000, 20)) == 20


class TestLabels:
    def test_no_label_lies_over_another(self) -> None:
        shelf = Shelf(levels=3, gap=1)
        assert [shelf.put(0, 10), shelf.put(5, 15), shelf.put(6, 9), shelf.put(12, 20)] == [
            0,
            1,
            2,
            0,
        ]

    def test_a_full_shelf_takes_the_level_that_is_free_soonest(self) -> None:
        shelf = Shelf(levels=2, gap=0)
        assert [shelf.put(0, 10), shelf.put(1, 8), shelf.put(2, 12)] == [0, 1, 1]

    def test_long_texts_end_in_an_ellipsis(self) -> None:
        lines = wrapped("one two three four five six seven", 10, most=2)
        assert len(lines) == 2
        assert lines[-1].endswith("…")
        assert wrapped("", 10, most=2) == []
        assert cut_to("abcdef", 4) == "abc…"


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def call_files(folder: Path, events: list[dict[str, Any]], seconds: float) -> Path:
    folder.mkdir()
    lines = "\n".join(json.dumps(each) for each in events)
    (folder / "events.jsonl").write_text(lines + '\n{"cut off', "utf-8")
    sound = np.random.default_rng(1).normal(0, 0.1, (int(8000 * seconds), 2))
    soundfile.write(folder / "recording.wav", sound, 8000)
    return folder


JUDGED = (Judged(3600, "backchannel $\\frac{$ <b>", False, ""), Judged(99_000, "late", True, ""))


class TestDrawing:
    def test_a_picture_has_its_size_and_is_always_the_same(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        folder = call_files(tmp_path / "call", CALL, 6)
        for name in ("one", "two"):
            draw_call(folder, None, tmp_path / f"{name}.png", "Title $\\frac{1}$\n\x07", JUDGED)
        assert png_size(tmp_path / "one.png") == (WIDTH_PX, HEIGHT_PX)
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()

    def test_a_long_call_is_drawn_in_strips(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        draw_call(call_files(tmp_path / "call", CALL, 60), None, tmp_path / "long.png", "Long")
        width, height = png_size(tmp_path / "long.png")
        assert (width, height > 1.5 * HEIGHT_PX) == (WIDTH_PX, True)

    def test_a_call_without_files_is_an_empty_picture(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        draw_call(tmp_path / "none", tmp_path / "no.wav", tmp_path / "empty.png", "Nothing")
        assert png_size(tmp_path / "empty.png") == (WIDTH_PX, HEIGHT_PX)
