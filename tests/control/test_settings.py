"""Settings of the environment, and what is said about wrong ones."""

import pytest

from control.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    "url", ["", "https://voice.example.com", "https://voice.example.com:8443/base/"]
)
def test_good_public_urls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_PUBLIC_URL", url)
    assert read_settings().public_url == url


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
