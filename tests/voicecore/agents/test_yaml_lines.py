import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecore.yaml_lines import (
    MAX_DEPTH,
    Place,
    YamlFileError,
    did_you_mean,
    dotted,
    parse_yaml,
    read_yaml,
    undotted,
)


def _problem(text: str) -> str:
    with pytest.raises(YamlFileError) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value)


def test_plain_values_are_what_they_look_like() -> None:
    text = """
country: no
switch: on
code: 012
phone: +15550100
time: 12:30
day: 2024-01-01
count: -7
huge: 1234567890123456789012345
rate: 1.5e3
yes_: true
nothing:
tilde: ~
quoted: "5"
block: |
  two
  lines
1: one
"""
    assert parse_yaml(text, "f").value == {
        "country": "no",
        "switch": "on",
        "code": "012",
        "phone": "+15550100",
        "time": "12:30",
        "day": "2024-01-01",
        "count": -7,
        "huge": "1234567890123456789012345",
        "rate": 1500.0,
        "yes_": True,
        "nothing": None,
        "tilde": None,
        "quoted": "5",
        "block": "two\nlines\n",
        "1": "one",
    }


def test_json_is_read_too() -> None:
    text = '{"\\u00e4": "\\ud83d\\ude00\\n", "b": [1, null]}'
    assert parse_yaml(text, "f").value == {"ä": "😀\n", "b": [1, None]}


def test_places_are_those_of_keys_and_items() -> None:
    document = parse_yaml("a:\n  - b: 1\n    c: {d: 2}\n  - x\n", "f")
    assert document.places == {
        (): Place(1, 1),
        ("a",): Place(1, 1),
        ("a", 0): Place(2, 5),
        ("a", 0, "b"): Place(2, 5),
        ("a", 0, "c"): Place(3, 5),
        ("a", 0, "c", "d"): Place(3, 9),
        ("a", 1): Place(4, 5),
    }


def test_locate_skips_steps_that_the_file_does_not_have() -> None:
    document = parse_yaml("stt:\n  vendor: x\n", "f")
    assert document.locate(("stt", 0, "vendor")) == (("stt", "vendor"), Place(2, 3))
    assert document.locate(("stt", 0, "model")) == (("stt", "model"), Place(1, 1))
    assert document.locate(("stt", 0, "settings", "speed")) == (("stt", "speed"), Place(1, 1))


def test_dotted_paths_are_reversible() -> None:
    path = ("tools", 0, "parameters", "x")
    assert dotted(path) == "tools[0].parameters.x"
    assert undotted(dotted(path)) == path
    assert undotted("settings.words.2") == ("settings", "words", 2)


def test_duplicate_keys_are_all_reported_with_both_lines() -> None:
    text = "a: 1\nb: {c: 1, c: 2}\na: 3\n"
    assert _problem(text).splitlines() == [
        "f.yaml:2:11: b.c: the key appears twice (first on line 2)",
        "f.yaml:3:1: a: the key appears twice (first on line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1", "f.yaml:1:4: a: anchors and aliases are not supported"),
        ("a: *x", "f.yaml:1:4: a: anchors and aliases are not supported"),
        ("a: !!python/name:os.system x", "f.yaml:1:4: a: the tag"),
        ("a: !!binary x", "f.yaml:1:4: a: the tag"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("", "f.yaml:1:1: the file is empty"),
        ("# only a comment\n", "f.yaml:1:1: the file is empty"),
        ("a: [1, 2", "f.yaml:1:9: not valid YAML"),
        ("a: b: c", "f.yaml:1:5: not valid YAML"),
        ("a:\n\t- b", "f.yaml:2:1: not valid YAML"),
        ("a: \x01", "f.yaml:1:4: a character that YAML forbids: U+0001"),
        ("? [a]\n: b", "a key must be text"),
        ('a: 1\nb: "\\U99999999"', "f.yaml:2:1: an escape sequence near here is out of range"),
        ('a: "\\uD800"', "f.yaml:1:4: an escape sequence"),
        ('"\\uD800": 1', "f.yaml:1:1: an escape sequence"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    assert expected in _problem(text)


def test_depth_and_size_are_bounded_before_they_cost_anything() -> None:
    parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")
    assert "nested deeper" in _problem("[" * 200_000)
    assert "nested deeper" in _problem("- " * 100_000)
    assert "larger than" in _problem("a" * 300_000)


def test_read_yaml_names_the_file(tmp_path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(YamlFileError, match=r"x\.yaml: cannot be read"):
        read_yaml(path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(YamlFileError, match=r"x.yaml:2:1: is not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"a: \xc3\xa4" * 100_000)
    with pytest.raises(YamlFileError, match="larger than"):
        read_yaml(path)
    path.write_bytes("a: ä\n".encode())
    assert read_yaml(path).value == {"a": "ä"}


def test_did_you_mean() -> None:
    assert did_you_mean("vendr", ["vendor", "voice"]) == "; did you mean 'vendor'?"
    assert did_you_mean("zzz", ["vendor"]) == ""


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{},&*!|>'\"#%@\\xuU0 \n\t~.\x00é"), max_size=60))
def test_any_text_gives_a_document_or_a_problem(text: str) -> None:
    try:
        found: object = parse_yaml(text, "f").places
    except YamlFileError as error:
        found = error.problems
    assert found
