"""Sealing secrets."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control.auth.envelopes import Keyring, Sealed, SealError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = "a-workspace/ORDERS_TOKEN"


def test_what_is_sealed_opens_at_its_place_only() -> None:
    keyring = Keyring({"old": OLD})
    sealed = keyring.seal("ä secret", PLACE)
    assert keyring.open(sealed, PLACE) == "ä secret"
    for place in ("another-workspace/ORDERS_TOKEN", "a-workspace/OTHER", ""):
        with pytest.raises(SealError):
            keyring.open(sealed, place)


def test_nothing_of_the_secret_or_the_keys_is_in_what_is_stored() -> None:
    keys = iter([bytes([7]) * 32, bytes(12), bytes([1]) * 12])
    sealed = Keyring({"old": OLD}, random=lambda count: next(keys)).seal("secret", PLACE)
    stored = sealed.wrapped_key + sealed.sealed
    for hidden in (b"secret", OLD, bytes([7]) * 32):
        assert hidden not in stored
    # Opened by hand, as AES-256-GCM is described: a nonce of 12 bytes in front, a tag behind.
    nonce, wrapped = sealed.wrapped_key[:12], sealed.wrapped_key[12:]
    key = AESGCM(OLD).decrypt(nonce, wrapped, f"key old of {PLACE}".encode())
    assert key == bytes([7]) * 32
    assert AESGCM(key).decrypt(sealed.sealed[:12], sealed.sealed[12:], PLACE.encode()) == b"secret"


def test_the_same_secret_is_never_sealed_alike() -> None:
    keyring = Keyring({"old": OLD})
    first, second = keyring.seal("secret", PLACE), keyring.seal("secret", PLACE)
    assert first.sealed != second.sealed
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize("part", ["wrapped_key", "sealed"])
def test_a_changed_byte_is_noticed(part: str) -> None:
    keyring = Keyring({"old": OLD})
    sealed = keyring.seal("secret", PLACE)
    for at in (0, 15, -1):
        changed = bytearray(getattr(sealed, part))
        changed[at] ^= 1
        parts = {"wrapped_key": sealed.wrapped_key, "sealed": sealed.sealed, part: bytes(changed)}
        with pytest.raises(SealError):
            keyring.open(Sealed("old", **parts), PLACE)


@pytest.mark.parametrize("cut", [0, 5, 12, 20])
def test_what_is_cut_short_does_not_open(cut: int) -> None:
    keyring = Keyring({"old": OLD})
    sealed = keyring.seal("secret", PLACE)
    with pytest.raises(SealError):
        keyring.open(Sealed("old", sealed.wrapped_key[:cut], sealed.sealed), PLACE)
    with pytest.raises(SealError):
        keyring.open(Sealed("old", sealed.wrapped_key, sealed.sealed[:cut]), PLACE)


def test_rewrapped_it_needs_the_new_key_only() -> None:
    sealed = Keyring({"old": OLD}).seal("secret", PLACE)
    moved = Keyring({"new": NEW, "old": OLD}).rewrap(sealed, PLACE)
    assert (moved.key_id, moved.sealed) == ("new", sealed.sealed)
    assert Keyring({"new": NEW}).open(moved, PLACE) == "secret"
    with pytest.raises(SealError, match="'old'"):
        Keyring({"new": NEW}).open(sealed, PLACE)
    with pytest.raises(SealError):
        Keyring({"old": NEW}).open(sealed, PLACE)
    with pytest.raises(SealError):
        Keyring({"new": NEW, "old": OLD}).rewrap(sealed, "elsewhere")


def test_a_key_id_cannot_be_exchanged_for_another_of_the_same_key() -> None:
    sealed = Keyring({"old": OLD}).seal("secret", PLACE)
    renamed = Sealed("alias", sealed.wrapped_key, sealed.sealed)
    with pytest.raises(SealError):
        Keyring({"alias": OLD}).open(renamed, PLACE)


@pytest.mark.parametrize("keys", [{}, {"short": bytes(16)}, {"old": OLD, "long": bytes(33)}])
def test_keyrings_that_are_none(keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keyring(keys)
