"""Carriers' keys, as `voicecore doctor` looks at them."""

import base64
import binascii
import re
from collections.abc import Collection, Mapping

from control.findings import Finding, Key, advice_on
from control.settings import Settings

ED25519_BYTES = 32
TWILIO_TOKEN, TELNYX_KEY = "VOICECORE_TWILIO_AUTH_TOKEN", "VOICECORE_TELNYX_API_KEY"
_SIGNING = {"TWILIO_AUTH_TOKEN": "Twilio", "TELNYX_PUBLIC_KEY": "Telnyx"}
_TOKEN = re.compile(r"[0-9a-f]{32}")


class CarrierKeys:
    """Those that are used: stored ones go before the settings'."""

    def __init__(
        self, settings: Settings, stored: Mapping[str, str], shut: Collection[str] = ()
    ) -> None:
        """:param stored: the platform's secrets in clear.
        :param shut: the names of those that do not open."""
        self._settings = settings
        self._shut = [(name, carrier) for name, carrier in _SIGNING.items() if name in shut]
        self._token = (
            stored.get("TWILIO_AUTH_TOKEN") or settings.twilio_auth_token.get_secret_value()
        )
        self._public_key = stored.get("TELNYX_PUBLIC_KEY") or settings.telnyx_public_key
        self._telnyx = stored.get("TELNYX_API_KEY") or settings.telnyx_api_key.get_secret_value()

    @property
    def keys(self) -> Mapping[str, str]:
        """What is sent to try them."""
        basic = f"{self._settings.twilio_account_sid}:{self._token}".encode()
        return {
            TELNYX_KEY: self._telnyx,
            TWILIO_TOKEN: base64.b64encode(basic).decode() if self._token else "",
        }

    @property
    def tried(self) -> tuple[Key, ...]:
        """Twilio's takes the account's SID (twilio.com/docs/iam/api/account)."""
        settings = self._settings
        balance = settings.telnyx_api_url.rstrip("/") + "/v2/balance"
        telnyx = Key(TELNYX_KEY, balance, secret="TELNYX_API_KEY")
        if not settings.twilio_account_sid:
            return (telnyx,)
        account = f"/2010-04-01/Accounts/{settings.twilio_account_sid}.json"
        url = settings.twilio_api_url.rstrip("/") + account
        return (telnyx, Key(TWILIO_TOKEN, url, scheme="Basic ", secret="TWILIO_AUTH_TOKEN"))

    def findings(self) -> list[Finding]:
        """What can be said of the others without asking."""
        found = [_public_url(self._settings), _telnyx(self._public_key)]
        if not self._settings.twilio_account_sid:
            found.insert(1, _twilio(self._token))
        found += [_shut(*one) for one in self._shut]
        if self._settings.allow_unsigned_webhooks:
            has_key = bool(self._token or self._public_key or self._shut)
            found.append(_unsigned(has_key=has_key))
        return found


def _public_url(settings: Settings) -> Finding:
    name, url = "VOICECORE_PUBLIC_URL", settings.public_url
    if not url:
        advice = "Set it to the https:// URL that carriers reach this server by"
        return Finding(name, "warning", "not set: carriers' calls cannot be answered", advice)
    return Finding(name, "ok", f"{url}; whether it leads here, a carrier's first webhook shows")


def _twilio(token: str) -> Finding:
    name = TWILIO_TOKEN
    if not token:
        advice = advice_on("TWILIO_AUTH_TOKEN", "calls are to come by Twilio")
        return Finding(name, "warning", "not set", advice)
    if not _TOKEN.fullmatch(token):
        advice = "Copy the auth token of the account from Twilio's console"
        return Finding(name, "warning", "set, but it does not look like one of Twilio's", advice)
    detail = (
        "set, and not tried: Twilio's first webhook is answered with BAD_SIGNATURE if it is "
        "another account's"
    )
    return Finding(name, "ok", detail, "Set VOICECORE_TWILIO_ACCOUNT_SID to have it tried")


def _telnyx(key: str) -> Finding:
    """The key that Telnyx signs for, which nobody but Telnyx can try."""
    name = "VOICECORE_TELNYX_PUBLIC_KEY"
    if not key:
        advice = advice_on("TELNYX_PUBLIC_KEY", "calls are to come by Telnyx")
        return Finding(name, "warning", "not set", advice)
    try:
        size = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != ED25519_BYTES:
        advice = "Copy the public key from Telnyx' portal, Keys & Credentials"
        return Finding(name, "wrong", "is no Ed25519 key in Base64", advice)
    return Finding(name, "ok", "an Ed25519 key; Telnyx' first webhook shows whether it is yours")


def _shut(name: str, carrier: str) -> Finding:
    """Of a stored one, in whose place the settings' is not taken."""
    detail = f"is stored and does not open: {carrier}'s calls are refused with CARRIER_KEY_SHUT"
    advice = "Bring the key back that it was encrypted with, or store it anew at PUT /admin/secrets"
    return Finding(name, "wrong", detail, advice)


def _unsigned(*, has_key: bool) -> Finding:
    """Of the flag that takes webhooks unchecked, which counts only where there is no key at all."""
    name = "VOICECORE_ALLOW_UNSIGNED_WEBHOOKS"
    if has_key:
        detail = "is set, and does nothing: a carrier has a key, so every webhook must be signed"
        return Finding(name, "wrong", detail, "Take it out, or the carrier's key for a trial")
    detail = "is set: anybody who knows a number can have its agent answer, at your expense"
    return Finding(name, "warning", detail, "Set the carrier's key, and take this out")
