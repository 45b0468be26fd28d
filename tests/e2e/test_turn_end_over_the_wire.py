"""A server with a model file, called over a socket."""

from pathlib import Path

import pytest

from tests.support.answering import answering, call, speech_file
from tests.support.in_time import Called, in_time
from tests.support.onnx_file import write_model

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("bias", "at_least_ms", "at_most_ms"), [(9, 1000, 1500), (-9, 2500, 3200)])
async def test_the_file_decides_how_long_the_agent_waits(
    tmp_path: Path, bias: float, at_least_ms: int, at_most_ms: int
) -> None:
    endpointing = {
        "min_silence_ms": 1000,
        "max_silence_ms": 2600,
        "model": write_model(tmp_path / "m.onnx", scale=0.0, bias=bias),
        "model_timeout_ms": 2000,
    }
    steps = [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"wait": "agent_finished"},
        {"hang_up": {}},
    ]

    async def play(folder: Path) -> Called:
        async with answering(folder, turn_taking={"endpointing": endpointing}) as server:
            return server, await call(server, steps)

    server, _ = await in_time(play, tmp_path, late_ms=100)
    (opinion,) = server.of("turn_end_judged")
    (stopped,) = server.of("speech_stopped")
    assert opinion["at_ms"] == stopped["at_ms"]
    assert (opinion["probability"] > 0.9) == (bias > 0)
    (latency,) = [one for one in server.of("turn_latency") if one["reply"] == 2]
    assert at_least_ms <= latency["turn_decided"] <= at_most_ms
