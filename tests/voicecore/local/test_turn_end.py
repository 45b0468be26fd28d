"""One model for all calls: batches, deadlines, bounds, failures."""

import asyncio
import itertools
import os
import sys
import threading
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

import voicecore.local.turn_end
from media.audio.convert import convert_all
from media.audio.format import L16_8K, L16_16K, MULAW_8K
from tests.support.onnx_file import write_model
from voicecore.local.turn_end import MAX_BATCH, MAX_WAITING, NICE, TurnEndModel
from voicecore.local.turn_end_file import TurnEndFile
from voicecore.providers.errors import VendorError

PATIENCE_S = 20


class LateLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved on."""

    late_s = 0.0

    def time(self):
        return super().time() + self.late_s


class Judge:
    """Stands for a model: gives the length of the sound, in seconds, and can be held up."""

    def __init__(self, max_batch=None):
        self.max_batch = max_batch
        self.batches = []
        self.fails = False
        self.begun = threading.Semaphore(0)
        self.held_up = threading.Event()
        self.held_up.set()
        self.threads = set()

    def probabilities(self, turns):
        self.threads.add(threading.current_thread())
        self.nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.batches.append([len(turn) / 32_000 for turn in turns])
        self.begun.release()
        assert self.held_up.wait(PATIENCE_S)
        if self.fails:
            raise RuntimeError("no")
        return [len(turn) / 32_000 for turn in turns]


class Calls:
    """Asks, and keeps the answers."""

    def __init__(self, judge, timeout_ms=10_000):
        self.judge = judge
        self.model = TurnEndModel("m.onnx", timeout_ms=timeout_ms, load=lambda path: judge)
        self.answers = []
        self.came = asyncio.Event()

    def ask(self, seconds):
        def answer(opinion):
            self.answers.append(opinion.probability)
            self.came.set()

        audio = b"\0\0" * round(16_000 * seconds)
        return self.model.judge(audio, L16_16K, answer)

    def hold_up(self):
        """Ask, and let the model be at it until ``go_on``."""
        self.judge.held_up.clear()
        self.ask(0.001)
        assert self.judge.begun.acquire(timeout=PATIENCE_S)

    async def answered(self, number):
        async with asyncio.timeout(PATIENCE_S):
            while len(self.answers) < number:
                self.came.clear()
                await self.came.wait()

    async def rest(self):
        """Until the model has nothing to do."""
        async with asyncio.timeout(PATIENCE_S):
            while self.model._busy or self.model._waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


def with_calls(main, judge=None, **options):
    async def run():
        calls = Calls(judge or Judge(), **options)
        await calls.model.start()
        calls.judge.batches.clear()
        while calls.judge.begun.acquire(blocking=False):
            pass
        try:
            await main(calls)
        finally:
            calls.judge.held_up.set()
            await calls.model.stop()

    with asyncio.Runner(loop_factory=LateLoop) as runner:
        runner.run(run())


def test_what_waits_is_judged_together():
    async def main(calls):
        calls.hold_up()
        for seconds in (0.1, 0.2, 0.3):
            calls.ask(seconds)
        calls.judge.held_up.set()
        await calls.answered(4)
        assert calls.judge.batches == [[0.001], [0.1, 0.2, 0.3]]
        assert calls.answers == [0.001, 0.1, 0.2, 0.3]
        assert calls.judge.threads.isdisjoint({threading.main_thread()})
        assert len(calls.judge.threads) == 1

    with_calls(main)


def test_a_file_for_one_at_a_time_gets_one_at_a_time_the_oldest_first():
    async def main(calls):
        calls.hold_up()
        for seconds in (0.3, 0.1, 0.2):
            calls.ask(seconds)
        calls.judge.held_up.set()
        await calls.answered(4)
        assert calls.judge.batches == [[0.001], [0.3], [0.1], [0.2]]

    with_calls(main, Judge(max_batch=1))


def test_a_batch_is_no_larger_than_can_be_answered_in_time(monkeypatch):
    ticks = itertools.count(0, 300)  # each run of the model takes 300 seconds of 1000
    fake = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr(voicecore.local.turn_end, "time", fake)

    async def main(calls):
        calls.hold_up()
        for _ in range(5):
            calls.ask(0.1)
        calls.judge.held_up.set()
        await calls.answered(6)
        assert [len(batch) for batch in calls.judge.batches] == [1, 3, 2]

    with_calls(main, timeout_ms=1_000_000)


def test_a_batch_has_a_limit_and_so_has_the_queue():
    async def main(calls):
        calls.hold_up()
        for number in range(MAX_WAITING + 2):
            calls.ask(1 + number / 1000)
        calls.judge.held_up.set()
        await calls.answered(1 + MAX_WAITING)
        await calls.rest()
        assert calls.answers[1] == 1.002, "the oldest two were dropped"
        assert len(calls.answers) == 1 + MAX_WAITING
        assert max(len(batch) for batch in calls.judge.batches) == MAX_BATCH

    with_calls(main)


def test_late_answers_are_dropped_and_what_cannot_be_in_time_is_not_judged():
    async def main(calls):
        with capture_logs() as logs:
            calls.hold_up()
            calls.ask(0.1)
            asyncio.get_running_loop().late_s += 6
            calls.ask(0.2)
            asyncio.get_running_loop().late_s += 5
            calls.judge.held_up.set()
            await calls.answered(1)
            await calls.rest()
        assert calls.answers == [0.2]
        assert calls.judge.batches == [[0.001], [0.2]]
        assert [line["event"] for line in logs] == ["the end-of-turn model answers too late"]

    with_calls(main)


def test_what_is_not_wanted_any_more_is_neither_judged_nor_answered():
    async def main(calls):
        calls.judge.held_up.clear()
        calls.model.judge(b"", L16_16K, lambda opinion: under_way.cancel())
        calls.ask(0.1).cancel()
        under_way = calls.ask(0.2)
        calls.ask(0.3)
        calls.judge.held_up.set()
        await calls.answered(1)
        await calls.rest()
        assert calls.answers == [0.3]
        assert calls.judge.batches == [[0.0], [0.2, 0.3]]

    with_calls(main)


def test_a_failure_is_no_opinion_and_one_log_line():
    async def main(calls):
        calls.judge.fails = True
        with capture_logs() as logs:
            for _ in range(3):
                calls.ask(0.1)
                await calls.rest()
        assert [line["event"] for line in logs] == ["the end-of-turn model failed"]
        assert isinstance(logs[0]["exc_info"], RuntimeError)
        assert not calls.answers
        calls.judge.fails = False
        calls.ask(0.2)
        await calls.answered(1)
        assert calls.answers == [0.2]

    with_calls(main)


def test_nothing_comes_after_the_stop():
    async def main(calls):
        calls.hold_up()
        calls.ask(0.1)
        await calls.model.stop()
        await calls.model.stop()
        calls.judge.held_up.set()
        calls.ask(0.2)
        (thread,) = calls.judge.threads
        await asyncio.to_thread(thread.join, PATIENCE_S)
        assert not thread.is_alive()
        await asyncio.sleep(0)
        assert calls.judge.batches == [[0.001]]

    with_calls(main)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority")
async def test_its_thread_stands_back_and_no_other() -> None:
    judge, before = Judge(), os.getpriority(os.PRIO_PROCESS, 0)
    calls = Calls(judge)
    await calls.model.start()
    calls.ask(0.5)
    await calls.answered(1)
    await calls.model.stop()
    assert judge.nice == max(NICE, before)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_a_real_file_judges_lines_of_any_format(tmp_path):
    path = write_model(tmp_path / "m.onnx", scale=20, bias=6)
    model = TurnEndModel(path, timeout_ms=60_000)
    await model.start()
    sound = bytes(range(256)) * 100
    came = {}
    done = asyncio.Event()
    for line in (MULAW_8K, L16_8K, L16_16K):

        def answer(opinion, line=line):
            came[line] = opinion
            if len(came) == 3:
                done.set()

        model.judge(sound, line, answer)
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    await model.stop()
    for line, opinion in came.items():
        (right,) = TurnEndFile(path).probabilities([convert_all(sound, line, L16_16K)])
        assert opinion.probability == pytest.approx(right)
        assert 0 <= opinion.took_ms < 60_000
    assert len({opinion.probability for opinion in came.values()}) == 3


@pytest.mark.parametrize("what", ["missing", "nonsense", "another shape", "no probability"])
async def test_a_file_that_cannot_be_used_is_known_at_the_start(tmp_path, what):
    path = tmp_path / "m.onnx"
    if what == "nonsense":
        path.write_bytes(b"no model at all")
    elif what != "missing":
        write_model(path, bands=80 if what == "no probability" else 128, last="Identity", bias=9)
    model = TurnEndModel(str(path), timeout_ms=200)
    with pytest.raises(VendorError, match=r"m\.onnx cannot be used: .") as caught:
        await model.start()
    assert caught.value.code == "model_not_found"
    await model.stop()


async def test_onnxruntime_that_is_missing_is_known_at_the_start(tmp_path, monkeypatch):
    model = TurnEndModel(write_model(tmp_path / "m.onnx"), timeout_ms=200)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(VendorError, match="onnxruntime is missing"):
        await model.start()


async def test_it_may_be_stopped_without_a_start():
    await TurnEndModel("m.onnx", timeout_ms=200).stop()
