import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from voicecore.tools.urls import add_query, fill_template, template_arguments


def test_arguments_of_a_template() -> None:
    assert template_arguments("http://h/{a}/x-{b}.json?c={c}&a={a}") == ("a", "b", "c")
    for template in ("https://[2001:db8::1]:8443", "http://127.0.0.1:8080/", "http://a_b.local."):
        assert template_arguments(template) == ()


def test_values_are_encoded() -> None:
    url = fill_template(
        "https://h/{a}/x?q={b}&n={n}&t={t}", {"a": "ä &/", "b": "1&2=3#", "n": 1.5, "t": True}
    )
    assert url == "https://h/%C3%A4%20%26%2F/x?q=1%262%3D3%23&n=1.5&t=true"


@pytest.mark.parametrize("value", ["..", ".", "", "../x", "x/..", "a\\..\\b", None, [], {}])
def test_values_that_would_change_the_path(value: object) -> None:
    with pytest.raises(ValueError, match="a "):
        fill_template("https://h/x/{a}/y", {"a": value})


def test_dots_that_two_arguments_make() -> None:
    with pytest.raises(ValueError, match="another path"):
        fill_template("https://h/{a}{b}", {"a": ".", "b": "."})
    assert fill_template("https://h/{a}.{b}", {"a": "v1", "b": "json"}) == "https://h/v1.json"


def test_query_is_added() -> None:
    assert add_query("http://h/", {"a": ["x", 2], "b": None, "c d": "&"}) == (
        "http://h/?a=x&a=2&c%20d=%26"
    )
    assert add_query("http://h/?x=1", {"a": 1}) == "http://h/?x=1&a=1"
    assert add_query("http://h/", {}) == "http://h/"
    with pytest.raises(ValueError, match="text or a number"):
        add_query("http://h/", {"a": {"b": 1}})


def test_urls_are_bounded() -> None:
    with pytest.raises(ValueError, match="longer"):
        fill_template("http://h/{a}", {"a": "x" * 9000})


@given(a=st.text(), b=st.text())
def test_no_value_leaves_its_place(a: str, b: str) -> None:
    try:
        url = fill_template("http://host:81/p/{a}/q?k={b}&end=1", {"a": a, "b": b})
    except ValueError:
        return
    for parsed in (URL(url, encoded=True), URL(url)):
        assert (parsed.scheme, parsed.host, parsed.port) == ("http", "host", 81)
        assert parsed.raw_path.startswith("/p/")
        assert parsed.raw_path.endswith("/q")
        assert parsed.raw_path.count("/") == 3
        assert list(parsed.query) == ["k", "end"]
        assert parsed.query["k"] == b
        assert not parsed.raw_fragment
