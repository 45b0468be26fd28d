"""Tokens that let one stream in, once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore import stream_tokens
from voicecore.stream_tokens import LIFETIME_S, TokenGate, mint_token

SECRET, NOW_S = "a secret", 1_800_000_000
NONCE = bytes(range(16))


def test_a_token_is_good_once() -> None:
    gate = TokenGate(SECRET)
    token = mint_token(SECRET, NOW_S, NONCE)
    assert gate.admit(token, NOW_S)
    assert not gate.admit(token, NOW_S)


def test_a_token_expires() -> None:
    token = mint_token(SECRET, NOW_S, NONCE)
    assert TokenGate(SECRET).admit(token, NOW_S + LIFETIME_S)
    assert not TokenGate(SECRET).admit(token, NOW_S + LIFETIME_S + 1)


def test_a_token_of_another_secret_is_none() -> None:
    assert not TokenGate(SECRET).admit(mint_token("another", NOW_S, NONCE), NOW_S)


def test_what_is_wrong_with_a_token_is_told() -> None:
    gate = TokenGate(SECRET)
    token = mint_token(SECRET, NOW_S, NONCE)
    assert gate.problem("", NOW_S) == "missing"
    assert gate.problem("1.2.3", NOW_S) == gate.problem("\u00e9", NOW_S) == "forged"
    assert gate.problem(mint_token("another", NOW_S, NONCE), NOW_S) == "forged"
    assert gate.problem(token, NOW_S + LIFETIME_S + 1) == "expired"
    assert gate.problem(token, NOW_S) == ""
    assert gate.problem(token, NOW_S) == "used"


def test_a_failed_attempt_does_not_use_it_up() -> None:
    gate = TokenGate(SECRET)
    token = mint_token(SECRET, NOW_S, NONCE)
    assert not gate.admit(token[:-1] + ("0" if token[-1] != "0" else "1"), NOW_S)
    assert gate.admit(token, NOW_S)


@given(st.text(max_size=100))
def test_any_text_is_refused(text: str) -> None:
    gate = TokenGate(SECRET)
    for token in (text, f"{text}.{NONCE.hex()}.{'0' * 64}", f"{NOW_S + 5}.{text}", f"..{text}"):
        assert gate.admit(token, NOW_S) is False


@pytest.mark.parametrize("token", ["", ".", "..", "\ud800", "1.2.\ud800", "²³.00.x", "9" * 10_000])
def test_odd_tokens_are_refused(token: str) -> None:
    assert TokenGate(SECRET).admit(token, NOW_S) is False


@given(st.integers(0, 200), st.characters())
def test_a_token_that_was_changed_is_refused(place: int, char: str) -> None:
    token = mint_token(SECRET, NOW_S, NONCE)
    place %= len(token)
    changed = token[:place] + char + token[place + 1 :]
    assert TokenGate(SECRET).admit(changed, NOW_S) == (changed == token)


def test_memory_is_bounded_and_expired_tokens_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_tokens, "REMEMBERED", 3)
    gate = TokenGate(SECRET)
    tokens = [mint_token(SECRET, NOW_S, bytes([number] * 16)) for number in range(4)]
    assert [gate.admit(token, NOW_S) for token in tokens] == [True, True, True, False]
    later_s = NOW_S + LIFETIME_S + 1
    assert gate.admit(mint_token(SECRET, later_s, bytes([9] * 16)), later_s)
    assert len(gate._used) == 1
    assert not gate.admit(tokens[0], later_s), "expired, though forgotten"
