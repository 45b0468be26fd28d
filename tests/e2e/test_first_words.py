"""The first words over a real socket: they are there before anybody is asked for them."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from benchmarks.greeting import greeting_waits_ms
from tests.support.answering import answering
from tests.support.media_client import stream
from voicecore.answering import AnsweringAgent

pytestmark = pytest.mark.e2e


class Asked:
    """Notes, in order, what a call asks of its vendors and what its caller gets."""

    def __init__(self, agent: AnsweringAgent) -> None:
        self.log: list[str] = []
        open_tts, open_stt, think = agent.tts.open, agent.stt.open, agent.llm.stream

        def tts(*args: Any, **options: Any) -> Any:
            return self._watched("tts", open_tts(*args, **options), "reply")

        def stt(*args: Any, **options: Any) -> Any:
            return self._watched("stt", open_stt(*args, **options), "push")

        def llm(*args: Any, **options: Any) -> Any:
            self.log.append("llm")
            return think(*args, **options)

        agent.tts.open, agent.stt.open, agent.llm.stream = tts, stt, llm  # type: ignore[method-assign]

    def _watched(self, name: str, made: Any, method: str) -> Any:
        inner = getattr(made, method)

        def noted(*args: Any, **options: Any) -> Any:
            self.log.append(name)
            return inner(*args, **options)

        setattr(made, method, noted)
        return made


async def test_the_greeting_leaves_before_any_vendor_is_asked(tmp_path: Path) -> None:
    async with answering(tmp_path) as server:
        asked = Asked(server.media._agent)
        async with stream(server.url()) as call:
            await call.start()
            marks = 0
            while not marks:  # the mark comes behind the greeting's last audio
                message = await call.next()
                assert message.type is aiohttp.WSMsgType.TEXT
                event = json.loads(message.data)["event"]
                asked.log.append(event)
                marks += event == "mark"
            await call.media()
            await call.say({"event": "stop", "stop": {}})
            await call.closed()
    assert asked.log[0] == "media"
    assert "tts" not in asked.log
    assert "llm" not in asked.log
    assert "stt" not in asked.log[: asked.log.index("mark")], "the caller has said nothing yet"
    (used,) = server.of("tts_usage")
    assert used == {"reply": 1, "characters": 0, "cached_characters": len("Hello there.")}


async def test_the_measurement_finds_greetings(tmp_path: Path) -> None:
    async with answering(tmp_path) as server:
        waits_ms = await greeting_waits_ms(server.url(), 3)
    assert len(waits_ms) == 3
    assert all(0 < wait_ms < 10_000 for wait_ms in waits_ms)
    assert len(server.call_dirs()) == 3
