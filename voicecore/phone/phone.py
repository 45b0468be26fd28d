"""The telephone: makes any number of calls at once and reports what the callers heard."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from media.phone.awkward import AwkwardPlan, awkward_plan
from media.phone.side import StreamIds, StreamSpec
from media.phone.sides import carrier_kind, make_side
from voicecore.phone.call import PhoneCall
from voicecore.phone.caller import Caller
from voicecore.phone.metronome import PHASES, Metronome, now_us
from voicecore.phone.record import CallRecord
from voicecore.phone.report import RunReport, run_report
from voicecore.phone.script import Drop, HangUp, Repeat, Script, Step
from voicecore.phone.setup import CallSetup, OnEvent
from voicecore.phone.socket import ConnectError
from voicecore.phone.sounds import Sounds
from voicecore.phone.speech import prepare_sounds
from voicecore.providers.tts import Tts

TWILIO_USER_AGENT = "Twilio.TmeWs/1.0"
FIRST_TIMESTAMP_MS = (57, 171)
"""First media timestamps seen on real Twilio calls lie between these."""


class RunResult(msgspec.Struct, frozen=True):
    """``records`` hold the facts behind the report; the audio too, where it was kept."""

    report: RunReport
    records: tuple[CallRecord, ...]


class RunOptions(msgspec.Struct, frozen=True):
    """How many calls, and what is special about them.

    ``ramp_per_s``: calls begun each second. ``duration_s``: the script's steps are repeated
    and all calls hang up then. ``plan``: the carrier's awkwardness, the same for all calls;
    ``awkward``: one for each call, from ``seed``. ``auth_token`` signs the upgrade as Twilio
    does, over ``signed_url`` (default: the URL called, with ``wss``). ``call_id`` names the
    first call."""

    calls: int = 1
    ramp_per_s: float = 50.0
    duration_s: float | None = None
    seed: int = 0
    awkward: bool = False
    plan: AwkwardPlan | None = None
    keep_audio: bool = False
    auth_token: str | None = None
    signed_url: str | None = None
    call_id: str | None = None


async def place_calls(
    url: str,
    script: Script,
    tts: Tts | None = None,
    *,
    options: RunOptions | None = None,
    sounds: Sounds | None = None,
    on_event: OnEvent | None = None,
    make_caller: Callable[..., Caller] = Caller,
) -> RunResult:
    """Make the calls and wait for their ends. ``tts`` has been started; only needed where the
    script speaks and no ``sounds`` are given. ``on_event`` must not block.
    ``make_caller`` takes the arguments of ``Caller``.

    :raises ScriptError, VendorError: the caller's sounds cannot be made.
    :raises ConnectError: the URL is nothing that the carrier would call."""
    options = options or RunOptions()
    check_url(url, script.carrier)
    if options.duration_s is not None:
        script = repeated(script, round(options.duration_s * 1000))
    if sounds is None:
        sounds = await prepare_sounds(script, tts)
    metronome = Metronome(1 if options.calls == 1 else PHASES)
    began_us, cpu_ns = now_us(), time.process_time_ns()
    setup = CallSetup(
        url=url,
        headers=_headers(url, script, options),
        script=script,
        sounds=sounds,
        keeps_order=carrier_kind(script.carrier).keeps_order,
        keep_audio=options.keep_audio,
        stop_at_us=_stop_at(began_us, options),
        on_event=on_event,
        make_caller=make_caller,
    )
    tasks: list[asyncio.Task[CallRecord]] = []
    async with asyncio.TaskGroup() as group:
        for index in range(options.calls):
            delay_us = began_us + round(index * 1e6 / options.ramp_per_s) - now_us()
            if delay_us > 0:
                await asyncio.sleep(delay_us / 1e6)
            call = _make_call(index, setup, options, metronome)
            tasks.append(group.create_task(call.run()))
    records = tuple(task.result() for task in tasks)
    report = run_report(
        url,
        script.carrier,
        records,
        duration_us=now_us() - began_us,
        send_late_us=metronome.late_us,
        cpu_us=(time.process_time_ns() - cpu_ns) // 1000,
    )
    return RunResult(report, records)


def check_url(url: str, carrier: str) -> None:
    """:raises ConnectError: no WebSocket URL, or one that the carrier does not call."""
    wrong = ConnectError("bad_url", f"{url} is no WebSocket URL")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        raise wrong from None
    if not valid:
        raise wrong
    if carrier == "twilio" and parts.query:
        raise ConnectError(
            "bad_url",
            "Twilio sends no query strings: put the values into the script's `parameters`, or "
            "into the path",
        )


def repeated(script: Script, duration_ms: int) -> Script:
    """The script for a run of a given length: its loops at the top go on for that long; without
    any, all its steps do."""
    ends = isinstance(script.steps[-1], HangUp | Drop)
    body = script.steps[:-1] if ends else script.steps
    if any(isinstance(step, Repeat) for step in body):
        steps: tuple[Step, ...] = tuple(
            msgspec.structs.replace(step, times=None, for_ms=duration_ms)
            if isinstance(step, Repeat)
            else step
            for step in body
        )
    else:
        steps = (Repeat(body[0].line if body else 1, body, for_ms=duration_ms),)
    return msgspec.structs.replace(script, steps=steps, timeout_ms=script.timeout_ms + duration_ms)


def twilio_signature(url: str, auth_token: str) -> str:
    """``X-Twilio-Signature`` of an upgrade: HMAC-SHA1 of the URL alone, in base64.
    Source: twilio.com/docs/usage/webhooks/webhooks-security."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def audio_of(records: Sequence[CallRecord]) -> CallRecord | None:
    """The first call that has audio to write down."""
    return next((record for record in records if record.heard or record.spoken), None)


def _make_call(
    index: int, setup: CallSetup, options: RunOptions, metronome: Metronome
) -> PhoneCall:
    script = setup.script
    plan = options.plan
    if options.awkward and plan is None:
        plan = awkward_plan(options.seed + index, keeps_order=setup.keeps_order)
    low, high = FIRST_TIMESTAMP_MS
    own = msgspec.structs.replace(
        setup,
        plan=plan,
        first_timestamp_ms=low + (options.seed + index * 31) % (high - low),
        keep_audio=setup.keep_audio and index == 0,
    )
    spec = StreamSpec(
        ids=_ids(script.carrier, options.call_id if index == 0 else None),
        inbound=script.codec,
        outbound=script.agent_codec,
        parameters=script.parameters,
        from_number=script.from_number,
        to_number=script.to_number,
        l16_big_endian=script.l16_big_endian,
    )
    return PhoneCall(index, own, make_side(script.carrier, spec), metronome)


def _ids(carrier: str, call_id: str | None) -> StreamIds:
    """Never from the seed: a server may remember the calls of an earlier run."""
    if carrier == "twilio":
        call_id = call_id or f"CA{secrets.token_hex(16)}"
        return StreamIds(f"MZ{secrets.token_hex(16)}", call_id, f"AC{'0' * 32}")
    call_id = call_id or f"v3:{secrets.token_urlsafe(48)}"
    return StreamIds(str(uuid.uuid4()), call_id, str(uuid.UUID(int=0)))


def _headers(url: str, script: Script, options: RunOptions) -> dict[str, str]:
    if script.carrier != "twilio":
        return {}
    headers = {"User-Agent": TWILIO_USER_AGENT}
    if options.auth_token is not None:
        signed = options.signed_url or f"wss://{url.partition('://')[2]}"
        headers["x-twilio-signature"] = twilio_signature(signed, options.auth_token)
    return headers


def _stop_at(began_us: int, options: RunOptions) -> int | None:
    if options.duration_s is None:
        return None
    return began_us + round(options.duration_s * 1e6)
