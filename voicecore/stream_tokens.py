"""Tokens that let one media stream in, once.

A token is ``<expiry>.<nonce>.<signature>``: Unix seconds, random hex, and the hex HMAC-SHA256
of the two under the server's secret. Whoever answers the carrier's webhook puts one into the
stream's parameters; the stream must bring it back before it is answered. Pure: time and
randomness are inputs.
"""

import hashlib
import hmac

LIFETIME_S = 120
REMEMBERED = 100_000
"""Used tokens kept until they expire. At the bound no more streams are let in."""


def mint_token(secret: str, now_s: int, nonce: bytes, *, lifetime_s: int = LIFETIME_S) -> str:
    """A token good until ``now_s + lifetime_s``. ``nonce`` is 16 random bytes."""
    claim = f"{now_s + lifetime_s}.{nonce.hex()}"
    return f"{claim}.{_sign(secret, claim)}"


class TokenGate:
    """Admits each token once, before its expiry."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._used: dict[str, int] = {}

    def admit(self, token: str, now_s: int) -> bool:
        """Whether the token is genuine, in time and new. It is used up by this."""
        return not self.problem(token, now_s)

    def problem(self, token: str, now_s: int) -> str:
        """Why a token is not admitted: ``missing``, ``forged``, ``expired``, ``used``, or
        ``too_many`` (were used of late); empty if it is, and then it is used up."""
        if not token:
            return "missing"
        if not token.isascii():
            return "forged"
        claim, _, signature = token.rpartition(".")
        expiry, _, nonce = claim.partition(".")
        if not hmac.compare_digest(_sign(self._secret, claim).encode(), signature.encode()):
            return "forged"
        if not expiry.isdigit():
            return "forged"
        if int(expiry) < now_s:
            return "expired"
        if nonce in self._used:
            return "used"
        if len(self._used) >= REMEMBERED:
            self._used = {used: until for used, until in self._used.items() if until >= now_s}
            if len(self._used) >= REMEMBERED:
                return "too_many"
        self._used[nonce] = int(expiry)
        return ""


def _sign(secret: str, claim: str) -> str:
    return hmac.new(secret.encode(), claim.encode(), hashlib.sha256).hexdigest()
