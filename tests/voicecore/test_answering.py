"""An agent made ready to answer."""

from collections.abc import Callable
from typing import Any

import pytest

import voicecore.speech_cache
from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K, AudioFormat
from tests.support.sim_call import house
from tests.support.virtual_loop import run_virtual


def with_agent(check: Callable[[Any], None]) -> None:
    async def main() -> None:
        async with house() as home:
            check(home.agent)

    run_virtual(main)


@pytest.mark.parametrize("line", [MULAW_8K, ALAW_8K, L16_16K])
def test_phrases_are_ready_in_every_carriers_format(
    line: AudioFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(agent: Any) -> None:
        def convert(*args: Any) -> bytes:
            raise AssertionError("converted while calls are live")

        monkeypatch.setattr(voicecore.speech_cache, "convert_all", convert)
        spoken = agent.phrase("Hello there.", line)
        assert line.duration_ms(len(spoken.audio)) == 200
        assert [word.text for word in spoken.words] == ["Hello", "there."]

    with_agent(check)


def test_an_unusual_format_is_made_when_it_is_asked_for() -> None:
    def check(agent: Any) -> None:
        spoken = agent.phrase("Hello there.", L16_8K)
        assert len(spoken.audio) == 200 * 16
        assert agent.phrase("Hello there.", L16_8K) is spoken

    with_agent(check)


def test_another_text_is_no_phrase() -> None:
    with_agent(lambda agent: _is_none(agent.phrase("Something else.", MULAW_8K)))


def _is_none(value: object) -> None:
    assert value is None
