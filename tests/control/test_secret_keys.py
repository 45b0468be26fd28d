"""Where the keys of secrets come from."""

import base64
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control.secret_keys import (
    FILE_NAME,
    LOCK_NAME,
    SecretKeys,
    SecretKeysError,
    new_entry,
    parse_keys,
)
from control.settings import Settings, SettingsError, read_settings
from control.vault import secret_keys

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(32, 64))).decode()


class TestParsing:
    def test_commas_and_lines_divide(self) -> None:
        keys = parse_keys(f"new:{KEY}, old:{OTHER}\n")
        assert list(keys.items()) == [("new", bytes(range(32))), ("old", bytes(range(32, 64)))]
        assert parse_keys("") == {}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (KEY, "entry 1 must be an id"),
            (f"a b:{KEY}", "entry 1 must be an id"),
            (f"a:{KEY},a:{OTHER}", "entry 2 is there twice"),
            (f"a:{KEY},b:not-base-64", "entry 2 must be 32 bytes"),
            (f"a:{base64.b64encode(bytes(16)).decode()}", "entry 1 must be 32 bytes"),
            ("a:", "entry 1 must be 32 bytes"),
        ],
    )
    def test_what_is_wrong_is_said_without_the_key(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said) as caught:
            parse_keys(text)
        assert KEY not in str(caught.value)

    def test_the_settings_check_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VOICECORE_SECRET_KEYS", f"a:{KEY[:-4]}")
        with pytest.raises(SettingsError, match="VOICECORE_SECRET_KEYS: the key of entry 1") as no:
            read_settings()
        assert KEY[:-4] not in str(no.value)
        monkeypatch.setenv("VOICECORE_SECRET_KEYS", f"a:{KEY}")
        assert KEY not in repr(read_settings())

    def test_a_new_entry_is_one(self) -> None:
        ((key_id, key),) = parse_keys(new_entry(NOW)).items()
        assert key_id.startswith("2026-05-01-")
        assert len(set(key)) > 8
        assert new_entry(NOW) != new_entry(NOW)


class TestFile:
    def test_made_once_for_us_alone(self, tmp_path: Path) -> None:
        keys = SecretKeys("", tmp_path)
        assert keys.keyring() is None
        keys.make(NOW)
        first = keys.keyring()
        keys.make(NOW)
        again = SecretKeys("", tmp_path).keyring()
        assert first is not None
        assert again is not None
        assert first.ids == again.ids
        assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600

    def test_another_process_gives_it_a_new_key(self, tmp_path: Path) -> None:
        keys = SecretKeys("", tmp_path)
        keys.make(NOW)
        before = keys.keyring()
        assert before is not None
        other = SecretKeys("", tmp_path)
        with other.lock() as file:
            file.add(NOW)
        os.utime(tmp_path / FILE_NAME, ns=(1, 1))  # however coarse the file system's clock is
        after = keys.keyring()
        assert after is not None
        assert after.ids[1:] == before.ids
        assert after.current not in before.ids
        with other.lock() as file:
            file.keep_only(after.current, {after.current})
        os.utime(tmp_path / FILE_NAME, ns=(2, 2))
        only = keys.keyring()
        assert only is not None
        assert only.ids == (after.current,)

    def test_what_is_wrong_with_it_is_said(self, tmp_path: Path) -> None:
        (tmp_path / FILE_NAME).write_text("nonsense")
        with pytest.raises(SecretKeysError, match="entry 1"):
            SecretKeys("", tmp_path).keyring()
        (tmp_path / FILE_NAME).unlink()
        (tmp_path / FILE_NAME).mkdir()
        with pytest.raises(SecretKeysError):
            SecretKeys("", tmp_path).keyring()
        with pytest.raises(SecretKeysError, match="not in a file"):
            SecretKeys(f"a:{KEY}", tmp_path).lock()

    def test_configured_keys_need_none(self, tmp_path: Path) -> None:
        keys = SecretKeys(f"a:{KEY}", tmp_path)
        keys.make(NOW)
        keyring = keys.keyring()
        assert keyring is not None
        assert keyring.ids == ("a",)
        assert list(tmp_path.iterdir()) == []

    def test_one_changes_it_at_a_time(self, tmp_path: Path) -> None:
        keys, other = SecretKeys("", tmp_path), SecretKeys("", tmp_path)
        with keys.lock():
            with pytest.raises(SecretKeysError, match=f"process {os.getpid()} is changing") as no:
                other.lock(timeout_s=0)
            assert LOCK_NAME in str(no.value)
        with other.lock(timeout_s=0) as file:
            file.make(NOW)
        assert keys.keyring() is not None
        assert stat.S_IMODE((tmp_path / LOCK_NAME).stat().st_mode) == 0o600

    def test_the_first_key_is_made_under_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(SecretKeys.lock, "__defaults__", (0.0,))
        with SecretKeys("", tmp_path).lock() as file:
            with pytest.raises(SecretKeysError, match="is changing the keys"):
                SecretKeys("", tmp_path).make(NOW)
            file.make(NOW)
            SecretKeys("", tmp_path).make(NOW)  # where there is one, nobody waits

    def test_no_key_goes_that_is_needed(self, tmp_path: Path) -> None:
        keys = SecretKeys("", tmp_path)
        with keys.lock() as file:
            file.make(NOW)
            file.add(NOW)
            keyring = keys.keyring()
            assert keyring is not None
            current, old = keyring.ids
            with pytest.raises(SecretKeysError, match=f"still sealed with {old}"):
                file.keep_only(current, {current, old})
            for other in (old, "lost"):  # as if somebody had changed it behind the lock
                with pytest.raises(SecretKeysError, match="is not its first key"):
                    file.keep_only(other, {other})
            again = SecretKeys("", tmp_path).keyring()
            assert again is not None
            assert again.ids == (current, old)

    def test_it_and_its_name_are_on_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[bool] = []
        monkeypatch.setattr(
            os, "fsync", lambda handle: synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        )
        SecretKeys("", tmp_path).make(NOW)
        assert synced == [False, True]


def test_a_shared_database_has_no_keys_in_one_servers_directory(tmp_path: Path) -> None:
    own = secret_keys(Settings(), tmp_path)
    assert own.file == tmp_path / FILE_NAME
    shared = secret_keys(Settings(database_url="postgresql://db/x"), tmp_path)
    assert shared.file is None
    shared.make(NOW)
    assert shared.keyring() is None
