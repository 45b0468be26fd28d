"""Where the links in e-mails lead."""

import pytest

from control.api import mails
from control.doctor_settings import links
from control.portal import address_of, api_url, portal_of
from control.settings import Settings

HERE = "http://127.0.0.1:8123"
PUBLIC = {"public_url": "https://voice.example.com/"}
PORTAL = {"portal_url": "https://portal.example.com/app/"}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, HERE),
        (PUBLIC, "https://voice.example.com"),
        (PORTAL, "https://portal.example.com/app"),
        (PUBLIC | PORTAL, "https://portal.example.com/app"),
    ],
)
def test_links_lead_to_the_portal_or_to_this_server(settings: dict[str, str], url: str) -> None:
    portal = portal_of(Settings.model_validate(settings), HERE)
    text = mails.verify_email(portal, "me@example.com", "a/b").text
    assert f"{url}/verify-email?token=a%2Fb" in text.splitlines()
    told = f"POST {url}/auth/verify-email" in text.splitlines()
    assert told == ("portal_url" not in settings)
    assert ("VOICECORE_PORTAL_URL" in text) == told
    finding = links(Settings.model_validate(settings), "127.0.0.1", 8123)
    assert url in finding.detail
    assert (finding.standing, "VOICECORE_PORTAL_URL" in finding.advice) == (
        ("warning", True) if told else ("ok", False)
    )
    assert ("POST /auth/verify-email" in finding.advice) == told


@pytest.mark.parametrize(
    ("settings", "url"),
    [({}, HERE), (PUBLIC, "https://voice.example.com"), (PORTAL, HERE)],
)
def test_urls_in_answers_lead_to_the_api(settings: dict[str, str], url: str) -> None:
    assert api_url(Settings.model_validate(settings), HERE) == url


def test_each_mail_says_which_endpoint_does_the_same() -> None:
    portal = portal_of(Settings(), HERE)
    made = (
        mails.verify_email(portal, "me@example.com", "x"),
        mails.already_registered(portal, "me@example.com"),
        mails.reset_password(portal, "me@example.com", "x"),
        mails.password_changed(portal, "me@example.com"),
    )
    pages = ("verify-email", "login", "reset-password", "forgot-password")
    for mail, page in zip(made, pages, strict=True):
        assert mail.text.endswith(f"POST {HERE}/auth/{page}\n")
        assert ("as `token`" in mail.text) == (page in ("verify-email", "reset-password"))
        assert ("`new_password`" in mail.text) == (page == "reset-password")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://localhost:8123"),
        ("::", "http://localhost:8123"),
        ("::1", "http://[::1]:8123"),
        ("voice.example.com", "http://voice.example.com:8123"),
    ],
)
def test_the_address_of_a_server(host: str, url: str) -> None:
    assert address_of(host, 8123) == url
