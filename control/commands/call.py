"""``voicecore call URL --script CALLER.yaml``: telephones a media-stream server as Twilio or
Telnyx would, and reports what the caller heard."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import soundfile
from rich.console import Console

from control.commands.common import add_command, new_event_loop, positive, whole_number
from media.carriers import CARRIERS
from media.phone.sides import carrier_names
from voicecore.adapters.registry import VendorConfigError, make_tts
from voicecore.phone.failures import ADVICE
from voicecore.phone.phone import RunOptions, RunResult, audio_of, place_calls
from voicecore.phone.script import Script, utterances
from voicecore.phone.script_file import load_script
from voicecore.phone.setup import PhoneEvent
from voicecore.phone.socket import ConnectError
from voicecore.phone.sounds import Sounds
from voicecore.phone.speech import prepare_sounds, wire_of
from voicecore.phone.stereo import two_channels
from voicecore.phone.tables import failure_lines, run_table
from voicecore.phone.yaml_reader import ScriptError, ScriptProblem
from voicecore.providers.errors import VendorError

AUTH_TOKEN_VARIABLE = "VOICECORE_TWILIO_AUTH_TOKEN"
MAX_CALLS = 5_000

_DESCRIPTION = """\
Telephone a media-stream server as Twilio or Telnyx would, act out a script as the caller, and
report what the caller heard, and when.

Exit status: 0 when the script ran to its end on all calls, 1 when it did not, 2 when the command
line or the script is wrong."""

_EXAMPLES = """\
voicecore call ws://127.0.0.1:8765/media/twilio --script caller.yaml
voicecore call wss://agent.example.com/stream --script caller.yaml --wav call.wav
voicecore call ws://127.0.0.1:8765/media/telnyx --script caller.yaml --calls 200 --duration 60
"""

_SHOWN = {
    "connected": "connected",
    "say_started": "caller: {text}",
    "dtmf": "caller presses {text}",
    "agent_started": "agent speaks",
    "ended": "call ended by {text}",
}


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "call",
        summary="telephone a media-stream server with a scripted caller",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="WebSocket to call, ws:// or wss://")
    add("--script", required=True, type=Path, metavar="FILE", help="what the caller does (YAML)")
    add(
        "--calls",
        type=whole_number(1, MAX_CALLS),
        default=1,
        metavar="N",
        help="simultaneous calls (default: %(default)s)",
    )
    add(
        "--ramp",
        type=positive,
        default=50.0,
        metavar="CALLS_PER_S",
        help="calls begun in each second (default: %(default)g)",
    )
    add(
        "--duration",
        type=positive,
        metavar="S",
        help="repeat the steps until all hang up after S seconds (default: the script once)",
    )
    add(
        "--carrier",
        choices=carrier_names(),
        help="who calls (default: the script's carrier, or else that of the URL: /media/telnyx)",
    )
    add("--awkward", action="store_true", help="a carrier at its worst: jitter, odd sizes, loss")
    add(
        "--seed",
        type=whole_number(0, 2**31),
        default=0,
        metavar="N",
        help="of --awkward and of the first timestamps (default: %(default)s)",
    )
    add("--json", metavar="FILE", help="write the report as JSON; - is standard output")
    add("--wav", type=Path, metavar="FILE", help="write the first call: said left, heard right")
    add("--token", metavar="T", help="send T as the stream parameter named token")
    add(
        "--auth-token",
        nargs="?",
        const="",
        metavar="T",
        help=f"sign the upgrade as Twilio does; without a value ${AUTH_TOKEN_VARIABLE} is used",
    )
    add(
        "--signed-url",
        metavar="URL",
        help="what to sign: the server's public wss:// URL (default: the URL called, with wss)",
    )
    add("--call-id", metavar="ID", help="the call's id, for one call (default: a random one)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Exit status 0: the script ran to its end on all calls; 1: it did not; 2: wrong usage."""
    try:
        script, options = script_of(args), _options(args)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            result = runner.run(_call(args, script, options))
    except ScriptError as error:
        return _wrong(*(f"{args.script}: {problem.describe()}" for problem in error.problems))
    except ConnectError as error:
        return _wrong(error.detail, f"    what to do: {ADVICE[error.code]}")
    except _UsageError as error:
        return _wrong(str(error))
    except VendorError as error:
        print(f"the caller's voice failed: {error}", file=sys.stderr)
        return 1
    return _report(args, script, result)


class _UsageError(Exception):
    """The command line, or what it names, is wrong."""


async def _call(args: argparse.Namespace, script: Script, options: RunOptions) -> RunResult:
    sounds = await _sounds(script, os.environ)
    asyncio.get_running_loop().set_exception_handler(_log_unless_reported)
    # What is made lives as long as the calls: the collector need not look at it meanwhile.
    gc.collect()
    gc.freeze()
    shown = _show if options.calls == 1 and args.json != "-" else None
    try:
        return await place_calls(args.url, script, options=options, sounds=sounds, on_event=shown)
    finally:
        gc.unfreeze()


def _log_unless_reported(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A TLS handshake that fails is in the report; uvloop logs it too, with a broken traceback."""
    if not str(context.get("message", "")).startswith("SSL handshake failed"):
        loop.default_exception_handler(context)


async def _sounds(script: Script, secrets: Mapping[str, str]) -> Sounds:
    """The voice is stopped before the call: it takes no part in what is measured."""
    voice = script.voice
    if voice is None or not any(step.text for step in utterances(script).values()):
        return await prepare_sounds(script, None)
    try:
        tts = make_tts(voice, secrets)
    except VendorConfigError as error:
        raise ScriptError(
            ScriptProblem(f"voice.{wrong.field}", script.voice_line, wrong.detail)
            for wrong in error.problems
        ) from error
    try:
        await tts.start()
        return await prepare_sounds(script, tts)
    finally:
        await tts.stop()


def script_of(args: argparse.Namespace) -> Script:
    """:raises ScriptError: it is wrong.
    :raises _UsageError: it cannot be read."""
    try:
        text = args.script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _UsageError(f"cannot read the script {args.script}: {error}") from error
    script = load_script(
        text,
        folder=str(args.script.parent),
        carrier=args.carrier,
        unless_named=carrier_of(args.url),
    )
    if args.token is None:
        return script
    parameters = {**script.parameters, "token": args.token}
    return msgspec.structs.replace(script, parameters=parameters)


def carrier_of(url: str) -> str:
    """Whose streams come to such a URL of ours; Twilio, if it does not show."""
    path = f"{url.partition('?')[0]}/"
    named = (kind.name for kind in CARRIERS if f"{kind.path}/" in path)
    return next((name for name in named if name in carrier_names()), "twilio")


def _options(args: argparse.Namespace) -> RunOptions:
    auth_token = args.auth_token
    if auth_token == "":
        auth_token = os.environ.get(AUTH_TOKEN_VARIABLE, "")
        if not auth_token:
            raise _UsageError(f"--auth-token: give a value, or set {AUTH_TOKEN_VARIABLE}")
    if args.call_id is not None and args.calls > 1:
        raise _UsageError("--call-id: every call needs its own; use it with one call")
    return RunOptions(
        calls=args.calls,
        ramp_per_s=args.ramp,
        duration_s=args.duration,
        seed=args.seed,
        awkward=args.awkward,
        keep_audio=args.wav is not None,
        auth_token=auth_token,
        signed_url=args.signed_url,
        call_id=args.call_id,
    )


def _report(args: argparse.Namespace, script: Script, result: RunResult) -> int:
    report = result.report
    written = _write(args, script, result)
    if args.json != "-":
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=120)
        console.print(run_table(report))
        sys.stdout.flush()
    for line in failure_lines(report):
        print(line, file=sys.stderr)
    return 0 if written and not report.failed else 1


def _write(args: argparse.Namespace, script: Script, result: RunResult) -> bool:
    """Write what was asked for; says what could not be written."""
    as_json = result.report.to_json() + b"\n"
    if args.json == "-":
        print(as_json.decode(), end="")
    try:
        if args.wav is not None:
            write_wav(args.wav, script, result)
        if args.json not in (None, "-"):
            Path(args.json).write_bytes(as_json)
    except (OSError, soundfile.SoundFileError) as error:
        print(f"cannot write the report: {error}", file=sys.stderr)
        return False
    return True


def write_wav(path: Path, script: Script, result: RunResult) -> None:
    """The first call that has audio: what the caller said on the left, what it heard on the
    right."""
    record = audio_of(result.records)
    if record is None:
        print(f"no call had audio: {path} is not written", file=sys.stderr)
        return
    stereo, rate_hz = two_channels(record, wire_of(script), script.agent_codec)
    soundfile.write(path, stereo, rate_hz, subtype="PCM_16", format="WAV")


def _show(event: PhoneEvent) -> None:
    if (shown := _SHOWN.get(event.kind)) is not None:
        print(f"{event.at_ms / 1000:8.2f} s  {shown.format(text=event.text)}", flush=True)


def _wrong(*lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return 2
