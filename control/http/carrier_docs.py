"""What carriers ask of us, in words: the webhook and the media streams.

They speak the carriers' languages, so no declaration makes them; ``carrier_hooks.py``,
``media_app.py`` and ``media/carriers`` serve them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from control.http.carrier_hooks import (
    ASKED,
    BAD_SIGNATURE,
    BAD_WEBHOOK,
    INBOUND_TIMEOUT_S,
    KEY_SHUT,
    MOST_ASKED,
    NOT_SET_UP,
    UNAVAILABLE,
)
from control.http.errors import BAD_REQUEST, INTERNAL_ERROR, UPGRADE_REQUIRED, Refusal
from control.http.media_entrance import BUSY, DRAINING, NOT_READY
from control.http.openapi_parameters import header
from control.http.uploads import (
    BODY_TOO_LARGE,
    INCOMPLETE_BODY,
    INVALID_BODY,
    UNSUPPORTED_ENCODING,
)
from media.carriers.telnyx import SIGNATURE_TOLERANCE_S

TAG = "carriers"


class HandWritten(msgspec.Struct, frozen=True):
    """An operation that is served, but not declared. ``operation`` is OpenAPI's, without errors;
    ``x-command`` in it stands for the example."""

    method: str
    path: str
    caller: str
    refusals: Sequence[Refusal]
    operation: Mapping[str, Any]


_TEXT = {"type": "string"}
_FORM = {
    "type": "object",
    "description": "Twilio's form, and that of Telnyx' TeXML. Other fields are not looked at.",
    "required": ["CallSid", "To"],
    "properties": {
        "CallSid": {**_TEXT, "minLength": 1, "description": "What the carrier calls the call."},
        "From": {**_TEXT, "description": "Who calls, E.164."},
        "To": {**_TEXT, "minLength": 1, "description": "The number that is called, E.164."},
    },
    "additionalProperties": _TEXT,
}
_EVENT = {
    "type": "object",
    "description": "An event of Telnyx' Call Control.",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "object",
            "required": ["event_type", "payload"],
            "properties": {
                "id": {**_TEXT, "description": "Of the event: its copies are answered once."},
                "event_type": {
                    **_TEXT,
                    "description": "`call.initiated`; whatever else it is, it is answered with 200 "
                    "and nothing is done.",
                },
                "payload": {
                    "type": "object",
                    "required": ["call_control_id"],
                    "properties": {
                        "call_control_id": _TEXT,
                        "direction": {**_TEXT, "description": "`incoming`, else nothing is done."},
                        "from": {**_TEXT, "description": "Who calls, E.164."},
                        "to": {**_TEXT, "description": "The number that is called, E.164."},
                    },
                },
            },
        },
    },
}
_FORM_EXAMPLE = {"CallSid": "CA0123456789abcdef", "From": "+442071234568", "To": "+442071234567"}
_EVENT_EXAMPLE = {
    "data": {
        "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        "event_type": "call.initiated",
        "payload": {
            "call_control_id": "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg",
            "direction": "incoming",
            "from": "+442071234568",
            "to": "+442071234567",
        },
    }
}
_SIGNATURE = "X-Twilio-Signature"
_SIGNATURES = [
    header(_SIGNATURE, "Twilio's: HMAC-SHA1 of the public URL and the form, with the Auth Token."),
    header("telnyx-signature-ed25519", "Telnyx': Ed25519 of `telnyx-timestamp|body`, in Base64."),
    header("telnyx-timestamp", f"Unix time, at most {SIGNATURE_TOLERANCE_S} s off."),
]

_ASKED = {
    "name": ASKED,
    "in": "query",
    "required": False,
    "description": "How often the carrier was told to ask again; not for you to give.",
    "schema": {"type": "integer", "minimum": 0, "default": 0},
}
_INBOUND = HandWritten(
    "POST",
    "/webhooks/calls/inbound",
    "Twilio and Telnyx, each with its signature (VOICECORE_TWILIO_AUTH_TOKEN, "
    "VOICECORE_TELNYX_PUBLIC_KEY, or the secrets that an admin has stored). "
    "Where no carrier has a key, VOICECORE_ALLOW_UNSIGNED_WEBHOOKS lets anybody in, for trials.",
    (
        BAD_REQUEST,
        BAD_WEBHOOK,
        INVALID_BODY,
        BAD_SIGNATURE,
        NOT_SET_UP,
        INCOMPLETE_BODY,
        BODY_TOO_LARGE,
        UNSUPPORTED_ENCODING,
        INTERNAL_ERROR,
        KEY_SHUT,
        UNAVAILABLE,
        BUSY,
        DRAINING,
        NOT_READY,
    ),
    {
        "operationId": "inbound_call",
        "summary": "A carrier asks who answers a call",
        "description": "The voice webhook of your numbers, at Twilio or of a TeXML or Call Control "
        "application at Telnyx. The number that is called says which agent answers.\n\n"
        "A form (Twilio, TeXML) is answered with a document that streams the call to "
        "`/media/twilio` or `/media/telnyx`, with a token that lets this one stream in; or with "
        "`<Reject>` where nobody answers: no such number, no live agent, a suspended workspace, "
        "too many calls, or the month's minutes used up. An event (Call Control) is answered with "
        "200 and no content, and the call by a command to Telnyx, for which "
        f"VOICECORE_TELNYX_API_KEY is needed.\n\n"
        "Where the agent is being loaded for the first time, the document has the carrier ask "
        f"again (`<Redirect>`), {MOST_ASKED} times at most. "
        f"The answer comes within {INBOUND_TIMEOUT_S:.0f} seconds. With 503 the carrier is to try "
        "the number's fallback.",
        "tags": [TAG],
        "parameters": [_ASKED, *_SIGNATURES],
        "security": [{"twilio": []}, {"telnyx": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": _FORM, "example": _FORM_EXAMPLE},
                "application/json": {"schema": _EVENT, "example": _EVENT_EXAMPLE},
            },
        },
        "responses": {
            "200": {
                "description": "A form: the TwiML or TeXML document. An event: nothing.",
                "content": {
                    "text/xml": {
                        "schema": _TEXT,
                        "example": '<Response><Connect><Stream url="wss://voice.example.com/media/'
                        'twilio"><Parameter name="token" value="..."/></Stream></Connect>'
                        "</Response>",
                    }
                },
            }
        },
    },
)

_BEGUN = {
    "101": {
        "description": "The WebSocket is open. A stream without a good token, or messages that are "
        "not the carrier's, close it with code 1008 or 1002; the server's failure with 1011."
    }
}
_MESSAGES = (
    "Text messages of the carrier's protocol, both ways: `start`, `media`, `stop` and so on, audio "
    "as Base64. The stream must bring the token that the webhook's answer, or "
    "`POST /workspaces/{workspace_id}/agents/{agent_id}/test-stream`, gave it: it is good for one "
    "stream within two minutes"
)
_PLACE = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The stream's token.",
    "schema": _TEXT,
}


def _stream(path: str, name: str, title: str, how: str, **more: Any) -> HandWritten:
    refusals = [UPGRADE_REQUIRED, KEY_SHUT, DRAINING, NOT_READY, BUSY, BAD_REQUEST, INTERNAL_ERROR]
    signed = name.startswith("twilio")
    command = path.replace("{token}", "TOKEN")
    by = "" if signed else " --carrier telnyx"
    return HandWritten(
        "GET",
        path,
        f"{title}, and `voicecore call`, with a stream's token"
        + (", and Twilio's signature where its key is set." if signed else "."),
        (*refusals, BAD_SIGNATURE) if signed else refusals,
        {
            "operationId": f"{name}_stream",
            "summary": f"{title}' media stream"
            if title.endswith("x")
            else f"{title}'s media stream",
            "description": f"A WebSocket. {_MESSAGES}, {how}",
            "tags": [TAG],
            "parameters": more.get("parameters", []),
            "responses": _BEGUN,
            "x-command": f"voicecore call ws://localhost:8080{command} --token TOKEN{by} "
            "--script caller.yaml",
            **({"security": [{"twilio": []}]} if signed else {}),
        },
    )


_SIGNED = header(_SIGNATURE, "Twilio's: HMAC-SHA1 of the stream's public URL.")
HAND_WRITTEN = (
    _INBOUND,
    _stream(
        "/media/twilio",
        "twilio",
        "Twilio",
        "as the parameter `token` of its `start` message.",
        parameters=[_SIGNED],
    ),
    _stream(
        "/media/telnyx", "telnyx", "Telnyx", "as the parameter `token` of its `start` message."
    ),
    _stream(
        "/media/telnyx/{token}",
        "telnyx_token",
        "Telnyx",
        "here in the path, as Telnyx does not promise to bring parameters back.",
        parameters=[_PLACE],
    ),
)
"""All that carriers ask."""

SCHEMES = {
    "twilio": {"type": "apiKey", "in": "header", "name": _SIGNATURE},
    "telnyx": {"type": "apiKey", "in": "header", "name": "telnyx-signature-ed25519"},
}
"""How they say who they are."""
