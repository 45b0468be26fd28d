import base64
import hashlib
import hmac
from urllib.parse import urlencode

import pytest

from media.carriers.kind import SignedRequest
from media.carriers.rest import FORM
from media.carriers.twilio import verify_upgrade, verify_webhook

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}


def sign(text, token=TOKEN):
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def form(fields=None, *, url=URL, signature="", **headers):
    return SignedRequest(
        url,
        {"content-type": FORM, "x-twilio-signature": signature, **headers},
        urlencode(FIELDS if fields is None else fields).encode(),
    )


def test_the_published_example():
    assert verify_webhook(form(signature="RSOYDt4T1cUTdK1PDd93/VVr8B8="), TOKEN)


def test_fields_in_order_of_name():
    text = (
        "https://mycompany.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDE"
        "Caller+14158675309Digits1234From+14158675309To+18005551212"
    )
    shuffled = dict(reversed(FIELDS.items()))
    assert verify_webhook(form(shuffled, signature=sign(text)), TOKEN)


def test_empty_repeated_and_unknown_fields_count():
    fields = [("b", "2"), ("b", "1"), ("b", "2"), ("FromCity", ""), ("New", "ñ & é")]
    signature = sign(URL + "FromCityNewñ & éb1b2")
    assert verify_webhook(form(fields, signature=signature), TOKEN)


@pytest.mark.parametrize(
    "signature", ["", "x", sign(URL), "RSOYDt4T1cUTdK1PDd93/VVr8B8", "é\ud800" * 9]
)
def test_a_wrong_signature(signature):
    assert not verify_webhook(form(signature=signature), TOKEN)


def test_anything_changed():
    right = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert not verify_webhook(form(signature=right), "12346")
    assert not verify_webhook(form({**FIELDS, "Digits": "1235"}, signature=right), TOKEN)
    assert not verify_webhook(form({**FIELDS, "More": "1"}, signature=right), TOKEN)
    assert not verify_webhook(form(url=URL + "3", signature=right), TOKEN)


def test_no_token_is_no_key():
    assert not verify_webhook(form({}, signature=sign(URL, "")), "")


def test_a_get_is_signed_by_its_url():
    assert verify_webhook(SignedRequest(URL, {"x-twilio-signature": sign(URL)}), TOKEN)


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        ("https://h.example/v?a=1", "https://h.example:443/v?a=1"),
        ("https://h.example:443/v", "https://h.example/v"),
        ("https://h.example:8443/v", "https://h.example/v"),
        ("http://h.example/v", "http://h.example:80/v"),
        ("https://h.example", "https://h.example:443"),
        ("https://[2001:db8::1]/v", "https://[2001:db8::1]:443/v"),
    ],
)
def test_with_and_without_the_port(configured, signed):
    assert verify_webhook(form({}, url=configured, signature=sign(signed)), TOKEN)
    assert not verify_webhook(form({}, url=configured, signature=sign("x" + signed)), TOKEN)


class TestJson:
    BODY = b'{"a":1}'

    def request(self, url, body=BODY):
        headers = {"content-type": "application/json", "x-twilio-signature": sign(url)}
        return SignedRequest(url, headers, body)

    def test_the_body_is_signed_by_its_hash(self):
        url = f"https://h/v?bodySHA256={hashlib.sha256(self.BODY).hexdigest()}"
        assert verify_webhook(self.request(url), TOKEN)
        assert not verify_webhook(self.request(url, b'{"a":2}'), TOKEN)

    def test_a_body_without_a_hash_is_not_signed_at_all(self):
        assert not verify_webhook(self.request("https://h/v"), TOKEN)

    def test_a_body_that_is_no_form_is_not_read_as_one(self):
        headers = {"content-type": "text/plain", "x-twilio-signature": sign("https://h/va1")}
        assert not verify_webhook(SignedRequest("https://h/v", headers, b"a=1"), TOKEN)
        as_form = {**headers, "content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        assert verify_webhook(SignedRequest("https://h/v", as_form, b"a=1"), TOKEN)

    @pytest.mark.parametrize("query", ["bodySHA256=", "bodySHA256=é"])
    def test_a_broken_hash(self, query):
        assert not verify_webhook(self.request(f"https://h/v?{query}"), TOKEN)


def test_other_schemes_of_signing_are_refused():
    request = form(
        signature="RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        **{"x-twilio-webhooks-signature-settings": "key=SK1,algorithm=HMAC_SHA256"},
    )
    assert not verify_webhook(request, TOKEN)


def test_a_form_that_cannot_be_read():
    headers = {"content-type": FORM, "x-twilio-signature": sign(URL)}
    for body in (b"a=\xff", b"a=%ff", b"&".join(b"a=1" for _ in range(2000))):
        assert not verify_webhook(SignedRequest(URL, headers, body), TOKEN)


class TestUpgrade:
    def request(self, signed, url="wss://h.example/media/twilio"):
        return SignedRequest(url, {"x-twilio-signature": sign(signed)})

    @pytest.mark.parametrize(
        "signed",
        [
            "wss://h.example/media/twilio",
            "wss://h.example/media/twilio/",
            "https://h.example/media/twilio",
            "https://h.example/media/twilio/",
            "wss://h.example:443/media/twilio",
        ],
    )
    def test_the_forms_that_are_seen(self, signed):
        assert verify_upgrade(self.request(signed), TOKEN)
        with_slash = self.request(signed, "wss://h.example/media/twilio/")
        assert verify_upgrade(with_slash, TOKEN)

    @pytest.mark.parametrize(
        "signed",
        [
            "wss://h.example/media/other",
            "wss://evil.example/media/twilio",
            "ws://h.example/media/twilio",
            "wss://h.example/media/twilio//",
            "",
        ],
    )
    def test_no_other(self, signed):
        assert not verify_upgrade(self.request(signed), TOKEN)

    def test_without_a_signature(self):
        assert not verify_upgrade(SignedRequest("wss://h.example/media/twilio", {}), TOKEN)

    def test_with_another_token(self):
        request = self.request("wss://h.example/media/twilio")
        assert not verify_upgrade(request, "other")

    def test_only_a_socket_url(self):
        assert not verify_upgrade(self.request("http://h/x", "http://h/x"), TOKEN)
