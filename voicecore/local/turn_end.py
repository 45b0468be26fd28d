"""Judges the pauses of all calls with one model, on one thread of its own.

What calls ask while the model is at work waits and is then judged together, the oldest first. On
a CPU a batch takes as long as its parts one after another, and nobody has an answer before all
have: so a batch is no larger than what can be answered in time. A question that cannot be
answered in time any more is dropped, so that a model with too much to do is of use to some calls
rather than late for all.
"""

import asyncio
import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import structlog

from media.audio.convert import convert_all
from media.audio.format import L16_16K, AudioFormat
from voicecore.local.turn_end_file import TurnEndFile
from voicecore.providers.errors import VendorError
from voicecore.providers.turn_end import TurnEndOpinion

MAX_WAITING = 64
"""Questions; the oldest is dropped for a new one."""
MAX_BATCH = 16
NICE = 10
"""How far its thread stands back behind others (Unix ``nice``); local speech stands back by 5."""
LOG_EVERY_S = 60.0
"""Of failures, and of answers that come too late, one line in so long."""

FAILED, LATE = "the end-of-turn model failed", "the end-of-turn model answers too late"

log = structlog.get_logger("voicecore.turn_end")


class TurnEndJudge(Protocol):
    """``TurnEndFile``, or what stands for it."""

    max_batch: int | None

    def probabilities(self, turns: Sequence[bytes]) -> list[float]: ...


class _Question:
    __slots__ = ("answer", "asked_s", "audio", "line", "wanted")

    def __init__(
        self,
        audio: bytes,
        line: AudioFormat,
        answer: Callable[[TurnEndOpinion], None],
        asked_s: float,
    ) -> None:
        self.audio = audio
        self.line = line
        self.answer = answer
        self.asked_s = asked_s
        self.wanted = True

    def cancel(self) -> None:
        self.wanted = False


class TurnEndModel:
    """Implements ``EndOfTurnModel`` for a file. An answer that takes longer than ``timeout_ms``
    is dropped."""

    def __init__(
        self, path: str, *, timeout_ms: int, load: Callable[[str], TurnEndJudge] = TurnEndFile
    ) -> None:
        self.name = f"turn_end/{path}"
        self._path = path
        self._load = load
        self._timeout_s = timeout_ms / 1000
        self._each_s = 0.0
        """How long one question took of late."""
        self._waiting: deque[_Question] = deque(maxlen=MAX_WAITING)
        self._busy = False
        self._judge: TurnEndJudge | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._unsaid = dict.fromkeys((FAILED, LATE), 0)
        self._say_again_s = dict.fromkeys(self._unsaid, -math.inf)

    async def start(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "turn-end", initializer=_stand_back)
        loading = loop.run_in_executor(self._thread, self._load_and_try)
        await asyncio.wait({loading})  # whatever onnxruntime raises has no base of its own
        error = loading.exception()
        if error is not None:
            await self.stop()
            detail = f"{self._path} cannot be used: {error}"
            raise VendorError("turn_end", "model_not_found", detail, retryable=False) from error
        self._judge, self._each_s = loading.result()
        took_ms = round(self._each_s * 1000)
        log.info("end-of-turn model loaded", path=self._path, took_ms=took_ms)
        if self._each_s > self._timeout_s:
            log.warning("the end-of-turn model is slower than its timeout", took_ms=took_ms)

    async def stop(self) -> None:
        thread, self._thread = self._thread, None
        self._waiting.clear()
        if thread is not None:
            thread.shutdown(wait=False, cancel_futures=True)

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> _Question:
        question = _Question(audio, line, answer, self._loop.time())
        self._waiting.append(question)
        self._go_on()
        return question

    def _go_on(self) -> None:
        if self._busy or self._thread is None or self._judge is None:
            return
        if batch := self._next_batch(self._judge.max_batch or MAX_BATCH):
            self._busy = True
            working = self._loop.run_in_executor(self._thread, _work, self._judge, batch)
            working.add_done_callback(partial(self._done, batch))

    def _next_batch(self, most: int) -> list[_Question]:
        now_s = self._loop.time()
        # One slow answer must not make us give up on all that follow.
        each_s = min(self._each_s, self._timeout_s / 2)
        while self._waiting:
            left_s = self._waiting[0].asked_s + self._timeout_s - now_s
            if self._waiting[0].wanted and left_s >= each_s:
                break
            if self._waiting.popleft().wanted:
                self._say(LATE)
        batch: list[_Question] = []
        while self._waiting and len(batch) < min(most, MAX_BATCH):
            if batch and (len(batch) + 1) * each_s > left_s:
                break
            question = self._waiting.popleft()
            if question.wanted:
                batch.append(question)
        return batch

    def _done(
        self, batch: list[_Question], working: "asyncio.Future[tuple[list[float], float]]"
    ) -> None:
        self._busy = False
        if working.cancelled():
            return
        error = working.exception()
        if error is not None:
            self._say(FAILED, error)
            self._go_on()
            return
        probabilities, took_s = working.result()
        self._each_s = took_s / len(batch)
        self._go_on()
        now_s = self._loop.time()
        for question, probability in zip(batch, probabilities, strict=True):
            if not question.wanted:
                continue
            if now_s - question.asked_s > self._timeout_s:
                self._say(LATE)
                continue
            took_ms = round((now_s - question.asked_s) * 1000)
            question.answer(TurnEndOpinion(probability, took_ms))

    def _load_and_try(self) -> tuple[TurnEndJudge, float]:
        """A model, and how long it takes once it is warm."""
        judge = self._load(self._path)
        silence = _Question(b"", L16_16K, lambda opinion: None, 0.0)
        _work(judge, [silence])
        return judge, _work(judge, [silence])[1]

    def _say(self, what: str, error: BaseException | None = None) -> None:
        """Log the first of many, and how many more there were when it is time again."""
        self._unsaid[what] += 1
        now_s = self._loop.time()
        if now_s < self._say_again_s[what]:
            return
        self._say_again_s[what] = now_s + LOG_EVERY_S
        times, self._unsaid[what] = self._unsaid[what], 0
        log.warning(what, times=times, path=self._path, exc_info=error)


def _stand_back() -> None:
    """Let a speech-to-text on this machine go first: its text is needed sooner than the opinion.
    On Linux the priority is a thread's own; elsewhere it is the process's, and stays."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        nice = max(NICE, os.getpriority(os.PRIO_PROCESS, thread))
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, nice)


def _work(judge: TurnEndJudge, batch: Sequence[_Question]) -> tuple[list[float], float]:
    """What the thread does: the probabilities, and how long it took in seconds."""
    began_s = time.monotonic()
    turns = [convert_all(one.audio, one.line, L16_16K) for one in batch]
    return judge.probabilities(turns), time.monotonic() - began_s
