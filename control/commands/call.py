"""``voicecore call URL --script CALLER.yaml``: telephones a media-stream server as Twilio or
Telnyx would, and reports what the caller heard."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import soundfile
from rich.console import Console

from media.phone.sides import carrier_names
from voicecore.adapters.registry import VendorConfigError, make_tts
from voicecore.phone.phone import RunOptions, RunResult, audio_of, place_calls
from voicecore.phone.report import RunReport
from voicecore.phone.script import Script, utterances
from voicecore.phone.script_file import load_script
from voicecore.phone.setup import PhoneEvent
from voicecore.phone.socket import ConnectError
from voicecore.phone.sounds import Sounds
from voicecore.phone.speech import prepare_sounds, wire_of
from voicecore.phone.stereo import two_channels
from voicecore.phone.tables import run_table
from voicecore.phone.yaml_reader import ScriptError
from voicecore.providers.errors import VendorError

AUTH_TOKEN_VARIABLE = "VOICECORE_TWILIO_AUTH_TOKEN"
MAX_CALLS = 5_000

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
    parser = subparsers.add_parser(
        "call", help="telephone a media-stream server with a scripted caller", description=__doc__
    )
    add = parser.add_argument
    add("url", metavar="URL", help="WebSocket to call, such as ws://127.0.0.1:8765/media/twilio")
    add("--script", required=True, type=Path, metavar="FILE", help="what the caller does (YAML)")
    add("--calls", type=_count, default=1, metavar="N", help="simultaneous calls (default 1)")
    add("--ramp", type=_positive, default=50, metavar="CALLS_PER_S", help="calls begun a second")
    add("--duration", type=_positive, metavar="S", help="repeat the steps, all hang up after S")
    add("--carrier", choices=carrier_names(), help="instead of the script's carrier")
    add("--awkward", action="store_true", help="a carrier at its worst: jitter, odd sizes, loss")
    add("--seed", type=int, default=0, help="of --awkward and of the first timestamps")
    add("--json", metavar="FILE", help="write the report as JSON; - is standard output")
    add("--wav", type=Path, metavar="FILE", help="write the first call: said left, heard right")
    add("--token", metavar="T", help="sent as the stream parameter `token`")
    add(
        "--auth-token",
        nargs="?",
        const="",
        metavar="T",
        help=f"sign the upgrade as Twilio does; without a value ${AUTH_TOKEN_VARIABLE} is used",
    )
    add("--signed-url", metavar="URL", help="what to sign: the server's public wss:// URL")
    add("--call-id", metavar="ID", help="the call's id, instead of a random one; one call only")
    return parser


def run(args: argparse.Namespace) -> int:
    """Exit status 0: the script ran to its end on all calls; 1: it did not; 2: wrong usage."""
    try:
        script, options = _script(args), _options(args)
    except ScriptError as error:
        return _wrong(f"{args.script}: {error}")
    except (OSError, UnicodeDecodeError) as error:
        return _wrong(f"cannot read the script {args.script}: {error}")
    except ValueError as error:
        return _wrong(str(error))
    try:
        runner = asyncio.Runner(loop_factory=_new_loop)
        with runner:
            result = runner.run(_call(args, script, options))
    except VendorConfigError as error:
        return _wrong(f"{args.script}: line {script.voice_line}: voice.{error}")
    except (ScriptError, ConnectError) as error:
        return _wrong(f"{args.script}: {error}" if isinstance(error, ScriptError) else str(error))
    except VendorError as error:
        print(f"the caller's voice failed: {error}", file=sys.stderr)
        return 1
    try:
        _write(args, script, result)
    except OSError as error:
        print(f"cannot write the report: {error}", file=sys.stderr)
        return 1
    return 0 if result.report.failed == 0 else 1


async def _call(args: argparse.Namespace, script: Script, options: RunOptions) -> RunResult:
    sounds = await _sounds(script, os.environ)
    # What is made lives as long as the calls: the collector need not look at it meanwhile.
    gc.collect()
    gc.freeze()
    shown = _show if options.calls == 1 and args.json != "-" else None
    try:
        return await place_calls(args.url, script, options=options, sounds=sounds, on_event=shown)
    finally:
        gc.unfreeze()


async def _sounds(script: Script, secrets: Mapping[str, str]) -> Sounds:
    """The voice is stopped before the call: it takes no part in what is measured."""
    if script.voice is None or not any(step.text for step in utterances(script).values()):
        return await prepare_sounds(script, None)
    tts = make_tts(script.voice, secrets)
    try:
        await tts.start()
        return await prepare_sounds(script, tts)
    finally:
        await tts.stop()


def _script(args: argparse.Namespace) -> Script:
    text = args.script.read_text(encoding="utf-8")
    script = load_script(text, folder=str(args.script.parent), carrier=args.carrier)
    if args.token is None:
        return script
    parameters = {**script.parameters, "token": args.token}
    return msgspec.structs.replace(script, parameters=parameters)


def _options(args: argparse.Namespace) -> RunOptions:
    auth_token = args.auth_token
    if auth_token == "":
        auth_token = os.environ.get(AUTH_TOKEN_VARIABLE, "")
        if not auth_token:
            raise ValueError(f"--auth-token: give a value, or set {AUTH_TOKEN_VARIABLE}")
    if args.call_id is not None and args.calls > 1:
        raise ValueError("--call-id: every call needs its own; use it with one call")
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


def _write(args: argparse.Namespace, script: Script, result: RunResult) -> None:
    if args.wav is not None:
        record = audio_of(result.records)
        if record is None:
            print(f"no call had audio: {args.wav} is not written", file=sys.stderr)
        else:
            stereo, rate_hz = two_channels(record, wire_of(script), script.agent_codec)
            try:
                soundfile.write(args.wav, stereo, rate_hz, subtype="PCM_16", format="WAV")
            except soundfile.SoundFileError as error:
                raise OSError(f"{args.wav}: {error}") from error
    if args.json == "-":
        print(result.report.to_json().decode())
        return
    if args.json is not None:
        Path(args.json).write_bytes(result.report.to_json() + b"\n")
    _print(result.report)


def _print(report: RunReport) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(run_table(report))


def _show(event: PhoneEvent) -> None:
    if (shown := _SHOWN.get(event.kind)) is not None:
        print(f"{event.at_ms / 1000:8.2f} s  {shown.format(text=event.text)}", flush=True)


def _wrong(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_CALLS:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_CALLS}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
