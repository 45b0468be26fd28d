"""A server with its stopwatch, three calls, one second."""

import os
from pathlib import Path

import pytest

from benchmarks.callers import Phone
from benchmarks.engine import read_turns
from benchmarks.load import Talking, run_load
from benchmarks.machine import Cores
from benchmarks.server import has_media_port, serving, write_agent

pytestmark = pytest.mark.e2e

QUICK_TALK = """\
carrier: twilio
voice: {vendor: scripted}
steps:
  - loop_s: 60
    steps:
      - say: hello there
      - wait: {agent_finished: true, quiet_ms: 100, timeout_ms: 20000}
"""

TALKING = Talking(window_s=1.0, settle_s=0.5, slack_s=1.0)


def test_a_run_measures_what_it_says(tmp_path: Path):
    core = min(os.sched_getaffinity(0))
    folder = tmp_path
    agent = write_agent(folder, recording=True)
    with serving(agent, folder, core=core, media_port=has_media_port()) as server:
        load = run_load(server, Phone(QUICK_TALK), folder, Cores(core, core), TALKING, 3)
        pid = server.pid
    assert load.calls == 3
    assert load.report.failed_calls == 0
    assert load.report.turns >= 3
    assert load.core.cpu_s < load.core.wall_s
    assert load.late.frames.n > 10, "outgoing audio was timed"
    assert load.late.loop.n > 10, "the loop was timed"
    assert load.late.work_us > 0
    assert load.resident_mb > load.idle_mb > 20
    assert any("first_byte" in turn for turn in read_turns(server.calls_dir))
    assert not Path(f"/proc/{pid}").exists(), "the server is gone"
