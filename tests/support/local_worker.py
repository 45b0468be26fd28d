"""A worker without models, run as a script by the tests of ``voicecore.local``.

``args["do"]`` says what a job does; a job with ``text`` is speech synthesis, one with only an
``encoding`` recognition. Files stand in for time: a job waits until its file exists.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from media.audio.format import AudioFormat, Encoding
from voicecore.local import wire
from voicecore.local.child import EngineRefused, JobFailed, Result, serve

SCRIPT = str(Path(__file__).resolve())


def wait_for_file(path: str, patience_s: float = 60) -> None:
    """Block until there is a file at ``path``."""
    give_up = time.monotonic() + patience_s
    while not Path(path).exists():
        if time.monotonic() > give_up:
            raise TimeoutError(path)
        time.sleep(0.005)


def _say(text: str) -> None:
    os.write(2, f"{text}\n".encode())


def _crash_once(path: str) -> None:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class FakeEngine:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.parallel = int(settings.get("parallel", 1))
        self.info = {"pid": os.getpid(), "nice": os.nice(0), **settings.get("info", {})}
        self.settings = settings

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        if crash := self.settings.get("crash_once"):
            _crash_once(str(crash))
        if hold := self.settings.get("hold"):
            Path(f"{hold}.begun").touch()
            wait_for_file(str(hold))
        if "text" in args:
            return self._speak(args)
        if "encoding" in args:
            return self._hear(args, body)
        return getattr(self, f"do_{args['do']}")(args, body)

    def _speak(self, args: dict[str, Any]) -> Iterator[Result]:
        """10 ms for each character, voice from 10 ms until 10 ms before the end."""
        if args["text"] == "unspeakable":
            raise JobFailed("bad_request", "cannot say that")
        audio = AudioFormat(Encoding(args["encoding"]), args["rate_hz"])
        length_ms = 10 * len(args["text"])
        yield {"from_ms": 10, "until_ms": length_ms - 10}, audio.silence(length_ms)

    def _hear(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        """The text is the audio's size, and its first byte; of silence, and of more than
        ``deaf_from`` bytes, there is none."""
        audio = AudioFormat(Encoding(args["encoding"]), args["rate_hz"])
        deaf = not body or body[0] == 0xFF or len(body) > self.settings.get("deaf_from", len(body))
        text = "" if deaf else f"{len(body)} bytes from {body[0]}"
        until_ms = audio.duration_ms(len(body))
        yield {"text": text, "confidence": 0.9, "from_ms": 20, "until_ms": until_ms}, b""

    def do_echo(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        yield {"size": len(body)}, body

    def do_wait(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        try:
            yield {"begun": True}, b""
            wait_for_file(args["path"])
            yield {"ended": True}, b""
            Path(args["path"] + ".after").touch()
        finally:
            Path(args["path"] + ".closed").touch()

    def do_die(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        _say("out of luck")
        signal.raise_signal(int(args["signal"]))
        yield {}, b""

    def do_crash_once(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        _crash_once(args["path"])
        yield {}, b""

    def do_raise(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        raise ZeroDivisionError("a bug")

    def do_fail(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        raise JobFailed("bad_request", "no such thing")

    def do_print(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        sys.stdout.write("chatter")
        sys.stdout.flush()
        os.write(1, b"\x00\xff" * 4096)
        yield {"stdin": os.read(0, 10).decode()}, b""


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> FakeEngine:
    progress("loading nothing")
    if settings.get("refuse"):
        raise EngineRefused("model_not_found", "no such model")
    if settings.get("hang"):
        time.sleep(60)
    if settings.get("die"):
        _say("cannot find libnothing.so")
        os._exit(3)
    if (path := settings.get("start_once")) and Path(path).exists():
        os._exit(4)
    if path:
        Path(path).touch()
    return FakeEngine(settings)


def talk_garbage() -> None:
    """Ready, then junk as the answer to anything."""
    os.read(0, 4096)
    os.write(1, wire.encode(wire.Ready({})))
    os.read(0, 4096)
    os.write(1, b"\xff" * 64)
    os.read(0, 4096)


if __name__ == "__main__":
    talk_garbage() if "garbage" in sys.argv else serve(load)
