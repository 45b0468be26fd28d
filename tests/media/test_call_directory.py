from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.call_directory import CallDirectory, safe_call_directory

BASE = Path("/calls")
HOSTILE = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\x00b",
    "~",
    ".hidden",
    "-rf",
    "con",
    "CON",
    "a" * 10_000,
    "caf\u00e9",
    "cafe\u0301",
    "\ud800",
    "a b\n",
    "%2e%2e%2f",
]


def test_a_plain_id_is_its_own_directory() -> None:
    plain = "0d9f3c1e-77ab-4f0e-9d3b-1c2d3e4f5a6b"
    assert safe_call_directory(BASE, plain) == BASE / plain
    assert safe_call_directory(BASE, "v3_abc-def") == BASE / "v3_abc-def"


@pytest.mark.parametrize("call_id", HOSTILE)
def test_hostile_ids_stay_inside(call_id: str) -> None:
    path = safe_call_directory(BASE, call_id)
    assert path.parent == BASE
    assert path.name not in ("", ".", "..")
    assert not path.name.startswith(".")
    assert len(path.name.encode()) <= 100
    assert path.name.isascii()
    assert path.name.isprintable()


def test_hostile_ids_differ_from_each_other_where_case_does_not_count() -> None:
    ids = [*HOSTILE, "CA12ab", "ca12ab", "CA12AB", "a_b", "a" * 64, "a" * 65]
    assert len({safe_call_directory(BASE, one).name.lower() for one in ids}) == len(ids)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_ids_differ(one: str, other: str) -> None:
    first, second = safe_call_directory(BASE, one), safe_call_directory(BASE, other)
    assert first.parent == BASE
    assert (first.name.lower() == second.name.lower()) == (one == other)


def test_an_id_that_comes_again_gets_a_directory_of_its_own(tmp_path: Path) -> None:
    made = [CallDirectory(tmp_path, "call").make().name for _ in range(3)]
    assert made == ["call", "call.2", "call.3"]


def test_it_is_made_once(tmp_path: Path) -> None:
    directory = CallDirectory(tmp_path / "new", "call")
    assert directory.path is None
    assert directory.make() == directory.make() == directory.path
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["call"]
