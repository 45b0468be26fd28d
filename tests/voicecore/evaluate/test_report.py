"""The report's page: complete, harmless, and quick with many scenes."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from voicecore.evaluate import report
from voicecore.evaluate.report import inside, worth_drawing, write_report
from voicecore.evaluate.report_page import Media, Picture, page, shown
from voicecore.evaluate.results import (
    Bar,
    Figure,
    Judged,
    Results,
    SceneResult,
    write_results,
)

HOSTILE = "<script>alert('x')</script>\"'&<img src=http://evil.example/x onerror=1>"


def scene(number: int, passed: bool | None, group: str = "overlap", **more: str) -> SceneResult:
    fields = {"title": "a murmur", "call_dir": "calls/none", "phone_wav": "", **more}
    return SceneResult(
        id=fields.get("id", f"scene-{number}"),
        group=group,
        title=fields["title"],
        passed=passed,
        void=None if passed is not None else "too slow",
        figures={"yield_ms": 240.0},
        judged=(Judged(1500, "backchannel", bool(passed), fields.get("detail", "went on")),),
        call_dir=fields["call_dir"],
        phone_wav=fields["phone_wav"],
    )


def results(*scenes: SceneResult, agent: str = "a", figures: tuple[Figure, ...] = ()) -> Results:
    return Results(agent, "voicecore", 1, "2026-11-22T09:00:00", {"cores": 2}, scenes, figures)


class Page(HTMLParser):
    """Tags and attributes as a browser finds them; what is left open at the end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_hostile_texts_are_only_texts() -> None:
    bad = scene(1, False, title=HOSTILE, id=HOSTILE, detail=HOSTILE, call_dir=HOSTILE)
    figure = Figure(HOSTILE, HOSTILE, 0.5, HOSTILE, 3, None, None, HOSTILE, None)
    html = page(results(bad, agent=HOSTILE, figures=(figure,)), {})
    parsed = Page(html)
    assert not parsed.open
    assert {"script", "img"}.isdisjoint(parsed.tags)
    assert not {name for name in parsed.attributes if name.startswith("on")}
    assert "&lt;script&gt;" in html
    assert all(address.startswith("#") for address in parsed.addresses)


def test_the_network_is_not_used() -> None:
    media = {"scene-1": Media(Picture("pictures/001.png", 1600, 700), "scenes/a/phone.wav")}
    html = page(results(scene(1, False)), media, curve=Picture("pauses/curve.png", 1600, 800))
    assert "http:" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert {"pictures/001.png", "scenes/a/phone.wav", "pauses/curve.png"} <= set(
        Page(html).addresses
    )


def test_faults_come_first_and_every_scene_can_be_reached() -> None:
    scenes = (scene(1, True), scene(2, None), scene(3, False))
    html = page(results(*scenes), {})
    places = [html.index(f"<section id='scene-{number}'") for number in (3, 2, 1)]
    assert places == sorted(places)
    assert {"#scene-1", "#scene-2", "#scene-3"} <= set(Page(html).addresses)
    assert "Not judged: too slow" in html


def test_figures_are_shown_with_bar_and_verdict() -> None:
    figures = (
        Figure("a", "yields", 0.98, "share", 100, (0.95, 0.99), Bar(at_least=0.97), "best 1.00"),
        Figure("b", "gap", 812.0, "ms", 9, None, Bar(at_most=700), None, 790.0),
        Figure("c", "nothing", None, "ms", 0),
    )
    html = page(results(figures=figures), {})
    for text in ("98.0 %", "95.0 % – 99.0 %", "≥ 97.0 %", "✓ reached", "best 1.00"):
        assert text in html
    for text in ("812 ms", "≤ 700 ms", "✗ missed", "790 ms", "–"):
        assert text in html


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.099, "share", "9.9 %"),
        (543.4, "ms", "543 ms"),
        (2.0, "count", "2"),
        (0.104, "per turn", "0.10 per turn"),
        (None, "ms", "–"),
    ],
)
def test_numbers_have_units(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_all_faults_are_drawn_and_good_calls_of_each_group() -> None:
    scenes = [scene(n, n % 10 != 0, group="ab"[n % 2]) for n in range(100)]
    chosen = worth_drawing(scenes, 6)
    assert {place for place in chosen if scenes[place].passed is False} == set(range(0, 100, 10))
    good = [scenes[place].group for place in chosen if scenes[place].passed]
    assert (good.count("a"), good.count("b")) == (3, 3)
    assert worth_drawing(scenes[:3], 99) == [0, 1, 2]


def test_paths_stay_below_the_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "calls").mkdir(parents=True)
    assert inside(out, "calls/a") == (out / "calls/a").resolve()
    for wrong in ("../x", "/etc/passwd", "calls/../../x", "", "a\0b"):
        assert inside(out, wrong) is None
    (out / "link").symlink_to("/etc")
    assert inside(out, "link/passwd") is None


def test_a_report_is_written_of_two_hundred_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(call_dir: Path, wav: Path | None, png: Path, title: str, judged: object) -> None:
        drawn.append(title)
        png.parent.mkdir(exist_ok=True)
        png.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8) + bytes([0, 0, 6, 64, 0, 0, 2, 188]))

    monkeypatch.setattr(report, "draw_call", draw)
    monkeypatch.setattr(report, "pictures_available", lambda: True)
    (tmp_path / "calls" / "c").mkdir(parents=True)
    (tmp_path / "a b#.wav").write_bytes(b"RIFF")
    scenes = [scene(n, n % 4 != 0, call_dir="calls/c", phone_wav="a b#.wav") for n in range(200)]
    write_results(tmp_path, results(*scenes))
    html = write_report(tmp_path).read_text("utf-8")
    parsed = Page(html)
    assert parsed.tags.count("section") == 200
    assert parsed.tags.count("img") == len(drawn) == 50 + report.MOST_GOOD_PICTURES
    assert html.count("loading='lazy'") == len(drawn)
    assert html.count("width='1600' height='700'") == len(drawn)
    assert "src='a%20b%23.wav'" in html


def test_without_matplotlib_the_page_says_how_to_get_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "calls" / "none").mkdir(parents=True)
    write_results(tmp_path, results(scene(1, False)))
    html = write_report(tmp_path).read_text("utf-8")
    assert "pip install &#x27;voicecore[evaluate]&#x27;" in html or "voicecore[evaluate]" in html
    assert "<img" not in html
