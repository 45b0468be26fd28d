"""Settings of the environment, and what is said about wrong ones."""

import re

import pytest

from control.configuration import reference
from control.db.place import place_of
from control.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    "url", ["", "https://voice.example.com", "https://voice.example.com:8443/base/"]
)
def test_good_public_urls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_PUBLIC_URL", url)
    assert read_settings().public_url == url


@pytest.mark.parametrize("value", [True, False])
def test_what_the_page_says_is_true_or_false_is(
    value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = reference()
    told = re.search(rf"`{str(value).lower()}` (?:one may write )?((?:`\w+`(?:, | or )?)+)", page)
    assert told is not None
    words = re.findall(r"`(\w+)`", told[1])
    assert len(words) == 3
    for word in (*words, *(one.upper() for one in words)):
        monkeypatch.setenv("VOICECORE_ALLOW_UNSIGNED_WEBHOOKS", word)
        assert read_settings().allow_unsigned_webhooks is value


@pytest.mark.parametrize(
    "url", ["foo", "http://voice.example.com", "https://", "https:///x", "https://a b", "https://["]
)
def test_a_wrong_public_url_is_told_in_words(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_PUBLIC_URL", url)
    monkeypatch.setenv("VOICECORE_MAX_CALLS", "0")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    public, calls = str(caught.value).splitlines()
    assert public == (
        "VOICECORE_PUBLIC_URL: must be an https:// URL with a host, as https://voice.example.com"
    )
    assert calls.startswith("VOICECORE_MAX_CALLS: ")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DRAIN_TIMEOUT_S", "soon", "must be a number"),
        ("DRAIN_TIMEOUT_S", "-1", "must be 0 or more"),
        ("MAX_CALLS", "many", "must be a whole number"),
        ("SMTP_PORT", "70000", "must be 65535 or less"),
        ("ALLOW_UNSIGNED_WEBHOOKS", "perhaps", "must be true or false"),
        ("TELNYX_OUTBOUND_CODEC", "opus", "must be 'PCMU', 'PCMA' or 'L16'"),
        ("TWILIO_ACCOUNT_SID", "SK1", "must be AC and 32 digits, 0-9 and a-f"),
        ("AGENT_SECRETS", "x", "'x' must be capital letters, digits and underscores"),
        ("PORTAL_URL", "portal.example.com", "must be a URL with a host"),
        ("PORTAL_URL", "https://", "must be a URL with a host"),
        ("PORTAL_URL", "https://a.example.com/?x", "must be a URL with a host"),
        ("CORS_ORIGINS", "app.example.com", "'app.example.com' is no origin, as https://"),
        ("CORS_ORIGINS", "https://a.example.com, https://b/", "'https://b/' is no origin"),
        ("CORS_ORIGINS", "https://*.example.com", "'https://*.example.com' is no origin"),
        ("CORS_ORIGINS", "https://a.example.com/app", "'https://a.example.com/app' is no"),
        ("CORS_ORIGINS", "https://me@example.com", "'https://me@example.com' is no origin"),
        ("CORS_ORIGINS", "https://a.example.com:0", "'https://a.example.com:0' is no origin"),
        ("CORS_ORIGINS", "https://a.example.com:70000", "'https://a.example.com:70000' is no"),
        ("CORS_ORIGINS", "https://", "'https://' is no origin"),
        ("CORS_ORIGINS", "null", "'null' is no origin"),
    ],
)
def test_what_is_wrong_is_told_in_our_words(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"VOICECORE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"VOICECORE_{name}: {words}")
    assert "Input should" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        (
            "https://App.Example.com:443, http://localhost:3000,",
            ("https://app.example.com", "http://localhost:3000"),
        ),
        ("http://[::1]:8080", ("http://[::1]:8080",)),
        ("http://a.example.com:80", ("http://a.example.com",)),
        ("http://a.example.com:443", ("http://a.example.com:443",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
    ],
)
def test_origins_are_as_browsers_say_them(
    text: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECORE_CORS_ORIGINS", text)
    assert read_settings().cors_origins == origins


@pytest.mark.parametrize("url", ["", "http://localhost:3000", "https://portal.example.com/app/"])
def test_good_portals(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_PORTAL_URL", url)
    assert read_settings().portal_url == url


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "mysql://hunter2@db/x",
        "postgresql:/hunter2",
        "postgresql://me:hunter2/x@db.example.com/voicecore",
        "postgresql://me:p@hunter2/x@db.example.com/voicecore",
        "postgresql://me:12?hunter2@db.example.com/voicecore",
        "postgresql://me:hunter2#x@db.example.com/voicecore",
        "postgresql://me:hunter2@db.example.com:soon/voicecore",
        "postgresql://me:hunter2@db.example.com:70000/voicecore",
        "postgresql://me:hunter 2@db.example.com/voicecore",
        "postgresql://me:[hunter2@db.example.com/voicecore",
    ],
)
def test_a_wrong_database_is_told_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECORE_DATABASE_URL", url)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(
        "VOICECORE_DATABASE_URL: must be as postgresql://user:password@host:5432/database"
    )
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:hunter2@db.example.com/voicecore", "db.example.com:5432/voicecore"),
        ("postgres://me:p%40%2Fhunter2@10.0.0.1:5433/x?sslmode=require", "10.0.0.1:5433/x"),
        ("postgresql://me:hunter2@[::1]:5433/x", "[::1]:5433/x"),
        ("postgresql://me:hunter2@a:1,b/x", "a:1,b:5432/x"),
        ("postgresql://me:p@hunter2@db/x", "db:5432/x"),
        ("postgresql://postgres:@/postgres?host=%2Frun%2Fpg&password=hunter2", "/run/pg/postgres"),
        ("postgresql:///", "the default host:5432"),
    ],
)
def test_where_a_database_is_without_its_password(
    url: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECORE_DATABASE_URL", url)
    assert read_settings().database_url.get_secret_value() == url
    assert place_of(url) == place
