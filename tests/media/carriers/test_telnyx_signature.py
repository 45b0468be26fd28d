import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from media.carriers.kind import SignedRequest
from media.carriers.telnyx import verify_webhook
from tests.support import ed25519

# RFC 8032 section 7.1, test 2: a secret key and its public key.
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = base64.b64encode(
    bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
).decode()
BODY = b'{"data":{"event_type":"call.initiated"}}'
NOW_S = 1_760_000_000


def sign(message):
    return base64.b64encode(ed25519.sign(SECRET, message)).decode()


def request(timestamp=str(NOW_S), signature=None, body=BODY):
    if signature is None:
        signature = sign(timestamp.encode() + b"|" + BODY)
    headers = {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signature}
    return SignedRequest("https://h/hook", headers, body)


def test_a_genuine_webhook():
    assert verify_webhook(request(), PUBLIC, NOW_S)


def test_the_oracle_agrees_with_the_published_vector():
    assert ed25519.sign(SECRET, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@pytest.mark.parametrize(
    ("age_s", "genuine"), [(300, True), (-300, True), (301, False), (-301, False)]
)
def test_the_tolerance(age_s, genuine):
    assert verify_webhook(request(str(NOW_S - age_s)), PUBLIC, NOW_S) is genuine


def test_anything_changed():
    assert not verify_webhook(request(body=BODY + b" "), PUBLIC, NOW_S)
    moved = request(str(NOW_S - 1), sign(b"%d|%b" % (NOW_S, BODY)))
    assert not verify_webhook(moved, PUBLIC, NOW_S)
    other = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    assert not verify_webhook(request(), other, NOW_S)


@pytest.mark.parametrize("signature", ["", "x", "AAAA", "é", base64.b64encode(bytes(64)).decode()])
def test_no_signature(signature):
    assert not verify_webhook(request(signature=signature), PUBLIC, NOW_S)


@pytest.mark.parametrize(
    "timestamp", ["", "-1", "1e9", "٣", " 1760000000", "9" * 5000, f"{NOW_S}.0"]
)
def test_a_broken_timestamp(timestamp):
    assert not verify_webhook(request(timestamp), PUBLIC, NOW_S)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "é"])
def test_a_broken_key(key):
    assert not verify_webhook(request(), key, NOW_S)


def test_without_headers():
    assert not verify_webhook(SignedRequest("https://h/hook", {}, BODY), PUBLIC, NOW_S)
