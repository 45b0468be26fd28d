"""The report's page as text. Pure. Every text of the results is escaped: what callers said and
models answered is in it."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

import msgspec

from voicecore.evaluate.results import Bar, Figure, Results, SceneResult

Html = str
"""Escaped already."""


class Picture(msgspec.Struct, frozen=True):
    """``url`` is relative and quoted."""

    url: str
    width: int
    height: int


class Media(msgspec.Struct, frozen=True):
    """What there is to see and hear of a scene."""

    picture: Picture | None
    sound: str | None


NOTHING = Media(None, None)
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; "
    "media-src 'self' file:"
)
_INSTALL = "Pictures of the calls need matplotlib: <code>pip install 'voicecore[evaluate]'</code>"


def page(
    results: Results,
    media: Mapping[str, Media],
    *,
    curve: Picture | None = None,
    has_pictures: bool = True,
) -> Html:
    """The whole document. ``media`` is by the scenes' ids."""
    style = resources.files("voicecore.evaluate").joinpath("report.css").read_text("utf-8")
    groups: dict[str, list[SceneResult]] = {}
    for scene in results.scenes:
        groups.setdefault(scene.group, []).append(scene)
    anchors = {scene.id: f"scene-{place}" for place, scene in enumerate(results.scenes, 1)}
    body = [
        _header(results),
        _summary(results),
        "" if has_pictures else f"<p class='note'>{_INSTALL}</p>",
        _curve(curve),
        *(_group(name, scenes, anchors) for name, scenes in groups.items()),
        _calls(results.scenes, media, anchors),
    ]
    title = escape(f"{results.agent}: {results.suite}")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>{title}</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _header(results: Results) -> Html:
    good, bad, other = _counts(results.scenes)
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    facts = f"{results.started_at}, seed {results.seed}; {machine}"
    return (
        f"<h1>{escape(results.agent)}</h1><p class='lead'>{escape(results.suite)}: "
        f"{len(results.scenes)} scenes, <b class='good'>{good} without a fault</b>, "
        f"<b class='bad'>{bad} with</b>, {other} not judged</p>"
        f"<p class='facts'>{escape(facts)}</p>"
    )


def _summary(results: Results) -> Html:
    if not results.figures:
        return ""
    rows = "".join(_figure(figure) for figure in results.figures)
    return (
        "<h2>Figures</h2><div class='wide'><table><thead><tr><th>figure</th>"
        "<th class='n'>value</th><th class='n'>95 %</th><th class='n'>n</th>"
        "<th class='n'>bar</th><th></th><th class='n'>baseline</th><th>published</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _figure(figure: Figure) -> Html:
    verdict = {None: "", True: "✓ reached", False: "✗ missed"}[figure.met]
    mood = {None: "", True: "good", False: "bad"}[figure.met]
    interval = ""
    if figure.ci95 is not None:
        low, high = (shown(value, figure.unit) for value in figure.ci95)
        interval = f"{low} – {high}"
    cells = (
        ("", figure.title),
        ("n value", shown(figure.value, figure.unit)),
        ("n", interval),
        ("n", str(figure.n)),
        ("n", _bar(figure.bar, figure.unit)),
        (mood, verdict),
        ("n", "" if figure.baseline is None else shown(figure.baseline, figure.unit)),
        ("soft", figure.published or ""),
    )
    inner = "".join(f"<td class='{kind}'>{escape(text)}</td>" for kind, text in cells)
    return f"<tr id='{escape('figure-' + figure.name)}'>{inner}</tr>"


def shown(value: float | None, unit: str) -> str:
    """A figure's number with its unit: shares as per cent."""
    if value is None:
        return "–"
    match unit:
        case "share":
            return f"{value * 100:.1f} %"
        case "ms":
            return f"{value:.0f} ms"
        case "count":
            return f"{value:.0f}"
    return f"{value:.2f} {unit}".rstrip()


def _bar(bar: Bar | None, unit: str) -> str:
    if bar is None:
        return ""
    if bar.at_least is not None:
        return f"≥ {shown(bar.at_least, unit)}"
    return f"≤ {shown(bar.at_most, unit)}"


def _curve(curve: Picture | None) -> Html:
    if curve is None:
        return ""
    return f"<h2>Pauses: cutting off against waiting</h2>{_image(curve, 'cut-off share by delay')}"


def _group(name: str, scenes: Sequence[SceneResult], anchors: Mapping[str, str]) -> Html:
    good, bad, other = _counts(scenes)
    columns = list(dict.fromkeys(key for scene in scenes for key in scene.figures))[:10]
    heads = "".join(f"<th class='n'>{escape(key.replace('_', ' '))}</th>" for key in columns)
    rows = "".join(
        f"<tr><td><a href='#{anchors[scene.id]}'>{escape(scene.id)}</a></td>"
        f"<td>{_verdict(scene)}</td><td>{escape(scene.title)}</td>"
        + "".join(f"<td class='n'>{_plain(scene.figures.get(key))}</td>" for key in columns)
        + "</tr>"
        for scene in scenes
    )
    opened = " open" if bad else ""
    return (
        f"<details class='group'{opened}><summary><h2>{escape(name)}</h2> "
        f"{good} without a fault, {bad} with, {other} not judged</summary><div class='wide'>"
        f"<table><thead><tr><th>scene</th><th></th><th>what happens</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _calls(
    scenes: Sequence[SceneResult], media: Mapping[str, Media], anchors: Mapping[str, str]
) -> Html:
    order = {False: 0, None: 1, True: 2}
    sorted_scenes = sorted(scenes, key=lambda scene: order[scene.passed])
    calls = (_scene(scene, media.get(scene.id, NOTHING), anchors) for scene in sorted_scenes)
    return f"<h2>Calls</h2><p class='facts'>Those with a fault first.</p>{''.join(calls)}"


def _scene(scene: SceneResult, media: Media, anchors: Mapping[str, str]) -> Html:
    judged = "".join(
        f"<tr><td class='n'>{one.at_ms / 1000:.2f} s</td>"
        f"<td class='{'good' if one.ok else 'bad'}'>{'✓' if one.ok else '✗'}</td>"
        f"<td>{escape(one.what)}</td><td>{escape(one.detail)}</td></tr>"
        for one in scene.judged
    )
    table = f"<div class='wide'><table><tbody>{judged}</tbody></table></div>" if judged else ""
    picture = "" if media.picture is None else _image(media.picture, scene.title)
    sound = (
        ""
        if media.sound is None
        else f"<audio controls preload='none' src='{escape(media.sound)}'></audio>"
        "<span class='soft'>caller left, agent right</span>"
    )
    void = "" if scene.void is None else f"<p class='note'>Not judged: {escape(scene.void)}</p>"
    return (
        f"<section id='{anchors[scene.id]}'><h3>{_verdict(scene)} {escape(scene.id)} "
        f"<span class='soft'>{escape(scene.title)}</span></h3>{void}{picture}"
        f"<div class='sound'>{sound}</div>{table}"
        f"<p class='facts'><code>{escape(scene.call_dir)}</code></p></section>"
    )


def _image(picture: Picture, alternative: str) -> Html:
    return (
        f"<a href='{escape(picture.url)}'><img loading='lazy' src='{escape(picture.url)}' "
        f"width='{picture.width}' height='{picture.height}' alt='{escape(alternative)}'></a>"
    )


def _verdict(scene: SceneResult) -> Html:
    if scene.void is not None:
        return "<span class='mark soft'>void</span>"
    return {
        True: "<span class='mark good'>✓ ok</span>",
        False: "<span class='mark bad'>✗ not ok</span>",
        None: "<span class='mark soft'>measured</span>",
    }[scene.passed]


def _counts(scenes: Sequence[SceneResult]) -> tuple[int, int, int]:
    good = sum(scene.passed is True for scene in scenes)
    bad = sum(scene.passed is False for scene in scenes)
    return good, bad, len(scenes) - good - bad


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
